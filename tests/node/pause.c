/* SPDX-License-Identifier: Apache-2.0
 *
 * pause.c - does nothing until it is told to end. The first process of each pod (containerd's
 * sandbox), and the lightest container there is.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int signal)
{
    (void)signal;
    _exit(0);
}

static void collect(int signal)
{
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(void)
{
    if (sigaction(SIGTERM, &(struct sigaction){ .sa_handler = leave }, NULL) < 0 ||
        sigaction(SIGINT, &(struct sigaction){ .sa_handler = leave }, NULL) < 0 ||
        sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = collect }, NULL) < 0)
        return EXIT_FAILURE;
    for (;;)
        pause();
}
