// SPDX-License-Identifier: MIT OR Apache-2.0

/* Each task stops itself, still outside the memcg, when it is set up. */
static void start_tasks(void)
{
	int nr, status;

	tasks = mmap(NULL, TASKS * sizeof(*tasks), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tasks == MAP_FAILED)
		die("mmap");
	for (nr = 0; nr < TASKS; nr++) {
		pid_t pid = fork();

		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			cg_write("/proc/self/oom_score_adj", "%d", OOM_SCORE_ADJ);
			task_nr = nr;
			setup();
			/* Not to have page faults at the limit. */
			if (mlockall(MCL_CURRENT | MCL_FUTURE))
				die("mlockall");
			raise(SIGSTOP);
			work(&tasks[nr]);
			tasks[nr].done = true;
			for (;;)
				pause();
		}
		tasks[nr].pid = pid;
		if (waitpid(pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
			die("a task is not ready");
		cg_write(LIMITED "cgroup.procs", "%d", pid);
	}
}

/* Whether all tasks are done or were killed in time. */
static bool run_tasks(void)
{
	time_t end = time(NULL) + LOAD_SECONDS;
	int nr, status, running = TASKS;

	for (nr = 0; nr < TASKS; nr++)
		kill(tasks[nr].pid, SIGCONT);
	while (running && time(NULL) <= end) {
		usleep(10000);
		for (nr = 0, running = 0; nr < TASKS; nr++) {
			if (waitpid(tasks[nr].pid, &status, WNOHANG) > 0) {
				tasks[nr].done = true;
				if (WIFEXITED(status))
					exit(EXIT_FAILURE);
				if (WTERMSIG(status) != SIGKILL) {
					tasks[nr].failed++;
					tasks[nr].call = "page fault";
					tasks[nr].error = EFAULT;
				}
			}
			running += !tasks[nr].done;
		}
	}
	printf("# %d of %d tasks are running after %d s\n", running, TASKS, LOAD_SECONDS);
	return !running;
}

/* What the kernel denied at a bound of its own may fail. */
static void check_calls(long denied)
{
	long calls = 0, failed = 0;
	int nr;

	for (nr = 0; nr < TASKS; nr++) {
		calls += tasks[nr].calls;
		failed += tasks[nr].failed;
		if (tasks[nr].failed)
			printf("# task %d: last failure: %s: %s\n", nr, tasks[nr].call,
			       strerror(tasks[nr].error));
	}
	printf("# %ld of %ld calls failed\n", failed, calls);
	result(calls && (!failed || failed <= denied), "no call fails for lack of memory");
}

static void check_peak(long peak, long bound)
{
	printf("# peak %ld, bound %ld\n", peak, bound);
	if (peak < 0)
		printf("ok %d # SKIP this kernel records no peak\n", ++tests);
	else
		result(peak <= bound, "usage stays within its bound");
}

static void check_back(const char *usage, long limit)
{
	int tries = 500;

	while (cg_read(usage, "") > limit && --tries)
		usleep(10000);
	result(tries, "usage comes back to the limit");
}

#define PAGE_ON_EACH_CPU	(sysconf(_SC_PAGESIZE) * sysconf(_SC_NPROCESSORS_ONLN))

/* What the kernel allows over the limit; on each CPU a charge in flight, and a batch. */
static long cap(const char *file)
{
	long bytes = cg_read(file, "");

	return bytes < 0 ? 0 : bytes + (8 + 64) * PAGE_ON_EACH_CPU;
}
