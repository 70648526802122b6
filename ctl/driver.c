/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/driver.h"

#include "csi/csi.pb-c.h"
#include "ctl/message_json.h"
#include "lib/net/rpc_client.h"
#include "locket/admin.pb-c.h"

static int call(const struct driver_call *c, const ProtobufCServiceDescriptor *service,
                ProtobufCMessage **ret, struct error *err)
{
    struct rpc_client_config config = { .path = c->socket };
    struct rpc_client *client = rpc_client_new(&config);
    struct rpc_request request = {
        .service = service,
        .method = c->method,
        .in = c->in,
        .timeout_ms = c->timeout_ms,
        .sensitive = true,
    };
    int result = rpc_client_call(client, &request, ret, err);

    rpc_client_free(client);
    return result;
}

int driver_admin(const struct driver_call *c, ProtobufCMessage **ret, struct error *err)
{
    return call(c, &locket__admin__v1__admin__descriptor, ret, err);
}

int driver_node(const struct driver_call *c, struct error *err)
{
    ProtobufCMessage *reply = NULL;

    if (call(c, &csi__v1__node__descriptor, &reply, err) < 0)
        return -1;
    rpc_reply_free(reply);
    return 0;
}

void driver_print_json(const struct ctl *ctl, const ProtobufCMessage *message)
{
    struct strbuf text CLEANUP(strbuf_done) = { 0 };

    message_json(message, &text);
    (void)fprintf(ctl->out, "%s\n", strbuf_text(&text));
}

/* --- a command that asks the driver one thing and shows the answer -----------------------------
 */

const struct option_row show_options[SHOW_OPTIONS] = {
    OPTION_ROW_OUTPUT(show_config),
    OPTION_ROW_ADMIN(show_config),
    OPTION_ROW_TIMEOUT(show_config),
};

int driver_show(const struct ctl *ctl, const struct show_config *config, const struct show *show,
                struct error *err)
{
    struct driver_call call = { config->admin_socket, config->timeout_ms, show->method, show->in };
    ProtobufCMessage *answer = NULL;
    bool json = false;

    if (ctl_wants_json(config->output, &json, err) < 0 || driver_admin(&call, &answer, err) < 0)
        return -1;
    if (json)
        driver_print_json(ctl, answer);
    else
        show->print(ctl, answer);
    rpc_reply_free(answer);
    return 0;
}
