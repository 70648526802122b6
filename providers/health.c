/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/health.h"

#include "lib/net/http_server.h"

struct health {
    struct workers *workers;
    struct http_server *server;
};

static int answer(void *arg, const char *path, struct strbuf *out)
{
    struct health *h = arg;

    if (strcmp(path, "/healthz") == 0 || strcmp(path, "/health/ready") == 0) {
        if (!workers_healthy(h->workers, out))
            return 503;
        strbuf_add_text(out, "ok\n");
        return 200;
    }
    if (strcmp(path, "/metrics") == 0) {
        workers_metrics(h->workers, out);
        return 200;
    }
    strbuf_add_text(out, "not found: /healthz and /metrics are served\n");
    return 404;
}

int health_start(const char *address, struct workers *workers, struct health **ret,
                 struct error *err)
{
    struct health *h = xcalloc(1, sizeof(*h));

    h->workers = workers;
    if (http_server_start(address, answer, h, &h->server, err) < 0) {
        free(h);
        return error_within(err, "--health-addr");
    }
    *ret = h;
    return 0;
}

void health_stop(struct health *h)
{
    if (!h)
        return;
    http_server_stop(h->server);
    free(h);
}
