// SPDX-License-Identifier: MIT OR Apache-2.0
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define KIND	(SOCK_STREAM | SOCK_NONBLOCK)

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener;

static void setup(void)
{
	reserve_files(4 * OPERATIONS + 1);
	snprintf(address.sun_path, sizeof(address.sun_path), "socket-%d", task_nr);
	listener = socket(AF_UNIX, KIND, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 128))
		die("listen");
}

static void work(struct task *task)
{
	while (go_on(task)) {
		int pair[2], client;

		count(task, "socketpair", socketpair(AF_UNIX, KIND, 0, pair));
		client = count(task, "socket", socket(AF_UNIX, KIND, 0));
		if (client < 0)
			continue;
		if (!count(task, "connect", connect(client, (struct sockaddr *)&address,
						    sizeof(address))))
			count(task, "accept", accept(listener, NULL, NULL));
	}
}
