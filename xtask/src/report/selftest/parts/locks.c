// SPDX-License-Identifier: MIT OR Apache-2.0

static int file;

static void setup(void)
{
	char path[16];

	snprintf(path, sizeof(path), "locked-%d", task_nr);
	file = open(path, O_CREAT | O_RDWR, 0600);
}

/* Locks every other byte: no memcg is charged for that. */
static void work(struct task *task)
{
	while (go_on(task)) {
		struct flock lock = {
			.l_type = F_WRLCK,
			.l_whence = SEEK_SET,
			.l_start = 2 * task->rounds,
			.l_len = 1,
		};

		count(task, "fcntl", fcntl(file, F_SETLK, &lock));
	}
}
