// SPDX-License-Identifier: MIT OR Apache-2.0

static int source;

static void setup(void)
{
	source = open("source", O_CREAT | O_RDWR, 0600);
	if (ftruncate(source, PAGE) || fallocate(source, 0, 0, PAGE))
		die("source");
	map_fresh_pages();
}

/* Each read() is into a page that is not there yet. */
static void work(struct task *task)
{
	drop_fresh_pages();
	while (go_on(task)) {
		ssize_t len = pread(source, fresh + (task->rounds - 1) * PAGE, PAGE, 0);

		if (len >= 0 && len < PAGE) {
			len = -1;
			errno = EFAULT;
		}
		count(task, "read", len);
	}
}
