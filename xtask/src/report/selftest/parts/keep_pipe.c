// SPDX-License-Identifier: MIT OR Apache-2.0

/* What a new pipe holds. */
#define A_PIPE (64 << 10)

static char filling[1 << 20];

/* Writes a new pipe of this size full, in one call, and keeps it. */
static bool keep_pipe(struct task *task, size_t size)
{
	ssize_t written;
	int ends[2];

	if (count(task, "pipe2", pipe2(ends, O_NONBLOCK)))
		return false;
	if (size > A_PIPE && count(task, "F_SETPIPE_SZ", fcntl(ends[1], F_SETPIPE_SZ, size)) < 0)
		return false;
	written = write(ends[1], filling, size);
	if (written >= 0 && written < (ssize_t)size) {
		/* Short, for lack of a page. */
		written = -1;
		errno = ENOMEM;
	}
	return count(task, "write", written) > 0;
}
