// SPDX-License-Identifier: MIT OR Apache-2.0

static int grown[2];

static void setup(void)
{
	reserve_files(2 * OPERATIONS + 2);
	if (pipe2(grown, O_NONBLOCK))
		die("pipe");
}

static void work(struct task *task)
{
	while (go_on(task))
		keep_pipe(task, PIPE_BYTES);
	/* More than 8 pages at once: this may fail. */
	if (fcntl(grown[1], F_SETPIPE_SZ, SETPIPE_BYTES) < 0)
		fcntl(grown[1], F_GETPIPE_SZ);
}
