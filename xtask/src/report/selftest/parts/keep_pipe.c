// SPDX-License-Identifier: MIT OR Apache-2.0

static char filling[64 << 10];

/* Writes a new pipe full, in one call, and keeps it. */
static bool keep_pipe(struct task *task, size_t size)
{
	ssize_t written;
	int ends[2];

	if (count(task, "pipe2", pipe2(ends, O_NONBLOCK)))
		return false;
	written = write(ends[1], filling, size);
	if (written >= 0 && written < (ssize_t)size) {
		/* Short, for lack of a page. */
		written = -1;
		errno = ENOMEM;
	}
	return count(task, "write", written) > 0;
}
