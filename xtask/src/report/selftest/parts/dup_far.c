// SPDX-License-Identifier: MIT OR Apache-2.0

static void setup(void)
{
	struct rlimit limit = { DESCRIPTOR + 1, DESCRIPTOR + 1 };

	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("setrlimit");
}

/* The descriptor table grows to as many pointers, and is freed when that fails. */
static void work(struct task *task)
{
	while (go_on(task)) {
		if (count(task, "dup2", dup2(1, DESCRIPTOR)) >= 0)
			close(DESCRIPTOR);
		/* Is there any room left for others? */
		count(task, "open", open("/", O_RDONLY));
	}
}
