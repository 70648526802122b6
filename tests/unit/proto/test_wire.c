/* SPDX-License-Identifier: Apache-2.0
 *
 * test_wire.c - our descriptors against bytes that the protocols' own published code wrote
 * (tests/fixtures/wire, made by tests/tools/wire). With a folder as argument the messages are
 * written there again, with and without fields of our own, for that program to read back.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "csi/csi.pb-c.h"
#include "provider/provider.pb-c.h"
#include "registration/registration.pb-c.h"
#include "tests/check.h"

enum {
    FIXTURE_MAX = 64 << 10,
    MESSAGES_MAX = 128,
    /* Fields of the provider protocol from here on are ours: upstream does not send them. */
    OWN_FIELDS = 1000,
};

static const char fixtures[] = "tests/fixtures/wire";
static const char *written_to; /* set by main alone */

static const ProtobufCServiceDescriptor *const services[] = {
    &csi__v1__identity__descriptor,
    &csi__v1__node__descriptor,
    &pluginregistration__registration__descriptor,
    &v1alpha1__csidriver_provider__descriptor,
};

struct messages {
    const ProtobufCMessageDescriptor *list[MESSAGES_MAX];
    size_t count;
};

struct fixture {
    char name[256];
    uint8_t bytes[FIXTURE_MAX];
    size_t len;
};

static bool is_listed(const struct messages *all, const ProtobufCMessageDescriptor *d)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i] == d)
            return true;
    return false;
}

static void add_message(struct messages *all, const ProtobufCMessageDescriptor *d)
{
    if (is_listed(all, d) || strcmp(d->package_name, "google.protobuf") == 0)
        return;
    assert_true(all->count < MESSAGES_MAX);
    all->list[all->count++] = d;
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            add_message(all, d->fields[i].descriptor);
}

static void add_services(struct messages *all)
{
    for (size_t s = 0; s < sizeof(services) / sizeof(services[0]); s++)
        for (unsigned m = 0; m < services[s]->n_methods; m++) {
            add_message(all, services[s]->methods[m].input);
            add_message(all, services[s]->methods[m].output);
        }
}

/* A map's entries are messages to protobuf-c; the fixtures show them inside of their owner. */
static bool is_map_entry(const ProtobufCMessageDescriptor *d)
{
    size_t len = strlen(d->name);

    return len > 5 && strcmp(d->name + len - 5, "Entry") == 0 && d->n_fields == 2;
}

static FILE *open_in(const char *folder, const char *name, const char *mode)
{
    char path[1024];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, mode);
    if (!f)
        fail_msg("%s: %s", path, strerrordesc_np(errno));
    return f;
}

static void read_fixture(const char *name, struct fixture *ret)
{
    FILE *f = open_in(fixtures, name, "rb");

    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    ret->len = fread(ret->bytes, 1, sizeof(ret->bytes), f);
    assert_true(feof(f) || ret->len < sizeof(ret->bytes));
    (void)fclose(f);
}

/* csi.v1.Topology.0.bin holds a csi.v1.Topology. */
static bool fixture_holds(const char *file, const ProtobufCMessageDescriptor *d)
{
    size_t len = strlen(d->name);

    return strncmp(file, d->name, len) == 0 && file[len] == '.' && file[len + 1] >= '0' &&
           file[len + 1] <= '9' && strcmp(file + len + 2, ".bin") == 0;
}

static void each_fixture(void (*visit)(const struct fixture *f,
                                       const ProtobufCMessageDescriptor *d))
{
    static struct messages all; /* too large for a stack */
    static struct fixture f;
    DIR *dir = opendir(fixtures);
    const struct dirent *entry;

    assert_non_null(dir);
    add_services(&all);
    while ((entry = readdir(dir))) {
        const ProtobufCMessageDescriptor *found = NULL;

        if (entry->d_name[0] == '.')
            continue;
        for (size_t i = 0; i < all.count && !found; i++)
            if (fixture_holds(entry->d_name, all.list[i]))
                found = all.list[i];
        if (!found) {
            fail_msg("%s is of a message that we do not have", entry->d_name);
            break; /* not reached, but no analyzer knows */
        }
        read_fixture(entry->d_name, &f);
        visit(&f, found);
    }
    (void)closedir(dir);
}

/* --- what the walk over an unpacked message knows of protobuf-c's layout --- */

static uint32_t u32_at(const ProtobufCMessage *m, unsigned offset)
{
    uint32_t value;

    memcpy(&value, (const char *)m + offset, sizeof(value));
    return value;
}

static size_t size_at(const ProtobufCMessage *m, unsigned offset)
{
    size_t value;

    memcpy(&value, (const char *)m + offset, sizeof(value));
    return value;
}

static const void *pointer_at(const ProtobufCMessage *m, unsigned offset)
{
    const void *value;

    memcpy(&value, (const char *)m + offset, sizeof(value));
    return value;
}

static bool is_picked(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return !(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || u32_at(m, f->quantifier_offset) == f->id;
}

static bool is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *text;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return size_at(m, f->quantifier_offset) > 0;
    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return pointer_at(m, f->offset) != NULL;
    case PROTOBUF_C_TYPE_STRING:
        text = pointer_at(m, f->offset);
        return text && *text;
    case PROTOBUF_C_TYPE_BYTES:
        return size_at(m, f->offset + (unsigned)offsetof(ProtobufCBinaryData, len)) > 0;
    default:
        return u32_at(m, f->offset) != 0; /* the low half is enough of an int64 */
    }
}

static void complete(const char *file, const ProtobufCMessage *m);

static void complete_children(const char *file, const ProtobufCMessage *m,
                              const ProtobufCFieldDescriptor *f)
{
    ProtobufCMessage *const *list;

    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        complete(file, pointer_at(m, f->offset));
        return;
    }
    list = pointer_at(m, f->offset);
    for (size_t i = 0; i < size_at(m, f->quantifier_offset); i++)
        complete(file, list[i]);
}

static void complete(const char *file, const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;

    if (m->n_unknown_fields > 0)
        fail_msg("%s: %s has no field %u, or another type for it", file, d->name,
                 m->unknown_fields[0].tag);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];

        if (f->id >= OWN_FIELDS || !is_picked(m, f))
            continue;
        if (!is_set(m, f))
            fail_msg("%s: %s.%s (%u) is not what upstream sends", file, d->name, f->name, f->id);
        complete_children(file, m, f);
    }
}

static ProtobufCMessage *unpack(const struct fixture *f, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, f->len, f->bytes);

    if (!m)
        fail_msg("%s: not a %s to us", f->name, d->name);
    return m;
}

static void check_complete(const struct fixture *f, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = unpack(f, d);

    complete(f->name, m);
    protobuf_c_message_free_unpacked(m, NULL);
}

/* Sets a message's own fields of ours. Text is given to the message, which frees it. */
static bool extend(ProtobufCMessage *m)
{
    bool extended = false;

    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        void *at = (char *)m + f->offset;
        int64_t number = INT64_MAX;
        protobuf_c_boolean yes = 1;
        char *text = f->type == PROTOBUF_C_TYPE_STRING ? strdup("ours") : NULL;

        if (f->id >= OWN_FIELDS && f->type == PROTOBUF_C_TYPE_INT64)
            memcpy(at, &number, sizeof(number));
        else if (f->id >= OWN_FIELDS && f->type == PROTOBUF_C_TYPE_BOOL)
            memcpy(at, &yes, sizeof(yes));
        else if (f->id >= OWN_FIELDS && text)
            memcpy(at, &text, sizeof(text));
        else
            free(text);
        extended = extended || f->id >= OWN_FIELDS;
    }
    return extended;
}

static void write_packed(const char *name, const ProtobufCMessage *m)
{
    static uint8_t packed[FIXTURE_MAX];
    size_t len = protobuf_c_message_get_packed_size(m);
    FILE *out = open_in(written_to, name, "wb");

    assert_true(len <= sizeof(packed));
    assert_int_equal(protobuf_c_message_pack(m, packed), len);
    assert_int_equal(fwrite(packed, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static void write_both(const struct fixture *f, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = unpack(f, d);
    char name[sizeof(f->name) + 16];

    write_packed(f->name, m);
    (void)snprintf(name, sizeof(name), "extended.%s", f->name);
    if (extend(m))
        write_packed(name, m);
    protobuf_c_message_free_unpacked(m, NULL);
}

static void check_bytes(const struct fixture *f, const ProtobufCMessageDescriptor *d)
{
    static uint8_t packed[FIXTURE_MAX];
    ProtobufCMessage *m = unpack(f, d);
    size_t len = protobuf_c_message_get_packed_size(m);

    assert_true(len <= sizeof(packed));
    assert_int_equal(protobuf_c_message_pack(m, packed), len);
    protobuf_c_message_free_unpacked(m, NULL);
    if (len != f->len || memcmp(packed, f->bytes, len) != 0)
        fail_msg("%s: our bytes differ from upstream's", f->name);
    if (written_to)
        write_both(f, d);
}

static void every_field_of_upstream_is_ours_and_every_one_of_ours_is_upstreams(void **state)
{
    (void)state;
    each_fixture(check_complete);
}

static void what_upstream_packed_comes_out_of_us_byte_by_byte(void **state)
{
    (void)state;
    each_fixture(check_bytes);
}

static void every_message_of_every_service_has_a_fixture(void **state)
{
    static struct messages all;

    (void)state;
    add_services(&all);
    assert_true(all.count > 30);
    for (size_t i = 0; i < all.count; i++) {
        char path[1024];
        struct stat st;

        if (is_map_entry(all.list[i]))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s.0.bin", fixtures, all.list[i]->name);
        if (stat(path, &st) < 0)
            fail_msg("%s: upstream has no such message", all.list[i]->name);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_of_every_service_has_a_fixture),
        cmocka_unit_test(every_field_of_upstream_is_ours_and_every_one_of_ours_is_upstreams),
        cmocka_unit_test(what_upstream_packed_comes_out_of_us_byte_by_byte),
    };

    written_to = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
