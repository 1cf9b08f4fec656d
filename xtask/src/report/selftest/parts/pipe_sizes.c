// SPDX-License-Identifier: MIT OR Apache-2.0

/* A slot has 40 bytes, and kcalloc() rounds up: 1, 2, 4 and 8 pages. */
static const int slots[] = { 64, 128, 256, 512 };

static int grown[4][2];

static void setup(void)
{
	int at;

	reserve_files(2 * OPERATIONS + 8);
	for (at = 0; at < 4; at++)
		if (pipe2(grown[at], O_NONBLOCK))
			die("pipe");
}

static void work(struct task *task)
{
	int at;

	while (go_on(task))
		keep_pipe(task, A_PIPE);
	for (at = 0; at < 4; at++)
		count(task, "F_SETPIPE_SZ", fcntl(grown[at][1], F_SETPIPE_SZ, slots[at] * 4096));
}
