// SPDX-License-Identifier: MIT OR Apache-2.0

static void setup(void)
{
	char folder[32];

	snprintf(folder, sizeof(folder), "nodes-%d", task_nr);
	if (mkdir(folder, 0700) || chdir(folder))
		die(folder);
}

/* An inode and a dentry of tmpfs outlive the task, and cannot be reclaimed. */
static void work(struct task *task)
{
	while (go_on(task)) {
		char path[32];

		snprintf(path, sizeof(path), "%ld", task->rounds);
		if (task->rounds % 2)
			count(task, "mkdir", mkdir(path, 0700));
		else
			count(task, "mknod", mknod(path, S_IFCHR | 0400, 0));
	}
}
