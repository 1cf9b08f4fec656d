// SPDX-License-Identifier: MIT OR Apache-2.0
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* In memory that all processes share. */
static struct task {
	pid_t pid;
	bool done;
	long rounds, calls, failed;
	const char *call;	/* the last that failed */
	int error;
} *tasks;

static int task_nr;

static bool go_on(struct task *task)
{
	return task->rounds++ < OPERATIONS && task->failed < FAILURES_MAX;
}

/* Counts a call, which fails for nothing but lack of memory, openly or in disguise. */
static long count(struct task *task, const char *call, long ret)
{
	task->calls++;
	if (ret >= 0)
		return ret;
	if (errno != ENOMEM && errno != ENFILE && errno != ENOSPC &&
	    errno != EFAULT && errno != E2BIG && errno != EAGAIN)
		die(call);
	task->failed++;
	task->call = call;
	task->error = errno;
	return ret;
}

/* Opening files must not charge a larger descriptor table too. */
static void reserve_files(int files)
{
	struct rlimit limit = { files + 64, files + 64 };

	if (setrlimit(RLIMIT_NOFILE, &limit) || dup2(1, files + 32) < 0)
		die("cannot have so many files");
	close(files + 32);
}
