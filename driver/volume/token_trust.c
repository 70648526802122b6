/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/volume/token_trust.h"

#include "driver/volume/volume_metrics.h"

void token_trust_init(struct token_trust *trust, struct metrics *metrics)
{
    *trust = (struct token_trust){ .metrics = metrics };
    (void)pthread_mutex_init(&trust->lock, NULL);
}

static void forget(struct token_trust *trust)
{
    for (size_t i = 0; i < trust->facts.audience_count; i++)
        free((char *)trust->facts.audiences[i]);
    free((void *)trust->facts.audiences);
    trust->facts = (struct csi_driver_facts){ 0 };
}

void token_trust_done(struct token_trust *trust)
{
    forget(trust);
    (void)pthread_mutex_destroy(&trust->lock);
}

void token_trust_set(struct token_trust *trust, const struct csi_driver_facts *facts)
{
    const char **audiences = xcalloc(facts->audience_count + 1, sizeof(*audiences));

    for (size_t i = 0; i < facts->audience_count; i++)
        audiences[i] = xstrdup(facts->audiences[i]);
    (void)pthread_mutex_lock(&trust->lock);
    forget(trust);
    trust->facts = *facts;
    trust->facts.audiences = audiences;
    trust->known = facts->exists; /* kubelet publishes nothing without it: a moment's view */
    (void)pthread_mutex_unlock(&trust->lock);
}

int token_trust_admit(struct token_trust *trust, struct error *err)
{
    bool refused;

    (void)pthread_mutex_lock(&trust->lock);
    refused = trust->known && !trust->facts.pod_info;
    (void)pthread_mutex_unlock(&trust->lock);
    if (!refused)
        return 0;
    return error_set(err, CODE_FAILED_PRECONDITION,
                     "the CSIDriver object of this driver has podInfoOnMount: false, so that a pod "
                     "could name itself as it likes: set spec.podInfoOnMount: true");
}

static void count(struct token_trust *trust, const char *reason, size_t times)
{
    const char *label[] = { reason };

    if (times)
        metrics_add(trust->metrics, VM_TOKENS_DROPPED, label, (double)times);
}

static const char *refusal(const struct csi_driver_facts *facts, bool in_secrets)
{
    if (facts->audience_count == 0)
        return "the CSIDriver object has no spec.tokenRequests";
    if (facts->tokens_in_secrets == in_secrets)
        return NULL;
    return in_secrets ? "they are among its secrets, and the CSIDriver object has no "
                        "serviceAccountTokenInSecrets: true"
                      : "they are in its volume_context, and the CSIDriver object has "
                        "serviceAccountTokenInSecrets: true, which a kubelet before 1.35 does not "
                        "know";
}

const char *token_trust_refusal(struct token_trust *trust, bool in_secrets)
{
    const char *why;

    if (!trust)
        return NULL;
    (void)pthread_mutex_lock(&trust->lock);
    why = trust->known ? refusal(&trust->facts, in_secrets) : NULL;
    (void)pthread_mutex_unlock(&trust->lock);
    count(trust, in_secrets ? "secrets" : "volume_context", why != NULL);
    return why;
}

/* Caller holds the lock. */
static bool is_requested(const struct token_trust *trust, const char *audience)
{
    for (size_t i = 0; i < trust->facts.audience_count; i++)
        if (strcmp(trust->facts.audiences[i], audience) == 0)
            return true;
    return false;
}

size_t token_trust_drop(struct token_trust *trust, struct tree *tokens)
{
    size_t dropped = 0;

    if (!trust)
        return 0;
    (void)pthread_mutex_lock(&trust->lock);
    for (struct tree **slot = &tokens->child; trust->known && *slot;) {
        struct tree *t = *slot;

        if (is_requested(trust, t->key)) {
            slot = &t->next;
            continue;
        }
        *slot = t->next;
        t->next = NULL;
        tree_free(t);
        dropped++;
    }
    (void)pthread_mutex_unlock(&trust->lock);
    count(trust, "audience", dropped);
    return dropped;
}

bool token_trust_lacks_republish(struct token_trust *trust)
{
    bool lacks;

    (void)pthread_mutex_lock(&trust->lock);
    lacks = trust->known && !trust->facts.republish;
    (void)pthread_mutex_unlock(&trust->lock);
    return lacks;
}
