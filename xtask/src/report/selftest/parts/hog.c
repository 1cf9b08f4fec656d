// SPDX-License-Identifier: MIT OR Apache-2.0

/* Forks a process that can be killed, and fills the memcg to just below its limit. */
static void start_hog(const char *procs, const char *usage, long limit, long bytes)
{
	const long page = sysconf(_SC_PAGESIZE);
	pid_t pid = fork();
	int status;
	long at;

	if (!pid) {
		char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		cg_write("/proc/self/oom_score_adj", "500");
		cg_write(procs, "0");
		/* The more slowly the less room is left: page tables are charged too. */
		for (at = 0; at < bytes && limit - cg_read(usage, "") > 16 * page; at += page)
			memory[at] = 1;
		for (;;)
			raise(SIGSTOP);
	}
	if (waitpid(pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
		die("hog");
}
