// SPDX-License-Identifier: MIT OR Apache-2.0

static void setup(void)
{
	reserve_files(OPERATIONS);
}

/* Each open() charges a struct file and nothing else. */
static void work(struct task *task)
{
	while (go_on(task))
		count(task, "open", open("/", O_RDONLY));
}
