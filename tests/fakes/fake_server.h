/* SPDX-License-Identifier: Apache-2.0
 *
 * fake_server.h - a fake of tests/fakes that is a program: starts it for a suite, learns its
 * address, ends it. Does not know what it serves.
 */
#ifndef LOCKET_TESTS_FAKES_FAKE_SERVER_H
#define LOCKET_TESTS_FAKES_FAKE_SERVER_H

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

extern char **environ;

struct fake_server {
    pid_t pid;
    int input; /* closing it ends the server */
    char url[64];
};

/* The line that a program says once it serves: "ready PORT". */
static inline void fake_server_read_port(int output, char *line, size_t size)
{
    size_t len = 0;

    while (len < size - 1 && !strchr(line, '\n')) {
        ssize_t n = read(output, line + len, size - 1 - len);

        assert_true(n > 0);
        len += (size_t)n;
    }
    line[strcspn(line, "\n")] = '\0';
    assert_memory_equal(line, "ready ", 6);
}

/* argv: its path first, NULL last. tls: what it serves is HTTPS. Waits until it serves. */
static inline void fake_server_start(struct fake_server *f, char *const *argv, bool tls)
{
    posix_spawn_file_actions_t actions;
    char line[64] = "";
    int in[2];
    int out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    assert_int_equal(posix_spawn(&f->pid, argv[0], &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(in[0]);
    (void)close(out[1]);
    f->input = in[1];
    fake_server_read_port(out[0], line, sizeof(line));
    (void)close(out[0]);
    (void)snprintf(f->url, sizeof(f->url), "http%s://127.0.0.1:%.8s", tls ? "s" : "", line + 6);
}

static inline void fake_server_stop(struct fake_server *f)
{
    (void)close(f->input);
    (void)waitpid(f->pid, NULL, 0);
}

#endif
