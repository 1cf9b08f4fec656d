// SPDX-License-Identifier: MIT OR Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KSFT_SKIP	4

static int tests, failures, cg_root;

static void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(KSFT_SKIP);
}

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void result(bool passed, const char *name)
{
	printf("%s %d %s\n", passed ? "ok" : "not ok", ++tests, name);
	failures += !passed;
}

/* The number behind @key, or -1. */
static long cg_read(const char *file, const char *key)
{
	int fd = openat(cg_root, file, O_RDONLY);
	char text[4096], *found;
	ssize_t len = read(fd, text, sizeof(text) - 1);

	close(fd);
	if (len <= 0)
		return -1;
	text[len] = '\0';
	found = strstr(text, key);
	return found ? atol(found + strlen(key)) : -1;
}

static void cg_write(const char *file, const char *format, ...)
{
	int fd = openat(cg_root, file, O_WRONLY);
	va_list args;

	va_start(args, format);
	if (fd < 0 || vdprintf(fd, format, args) < 0)
		die(file);
	va_end(args);
	close(fd);
}
