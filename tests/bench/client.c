/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c - the bench's kubelet: calls a driver in another process and prints times as JSON
 * members.
 *
 *     client floor DIR | empty SOCKET | pair SOCKET ROOT THREADS COUNT
 *     client pair_of SOCKET ROOT COUNT UID   of the pod default/bench, which the cluster knows
 *     client republish SOCKET ROOT COUNT
 *     client publish SOCKET ROOT FROM TO     and leaves them
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "csi/csi.pb-c.h"
#include "driver/volume/publish_request.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "lib/net/rpc_client.h"
#include "lib/net/rpc_server.h"
#include "locket/admin.pb-c.h"

enum { FLOOR_ROUNDS = 2000, EMPTY_ROUNDS = 20000, FILES = 5, FILE_BYTES = 1024, CONTEXT = 6 };

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_time(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;

    return left < right ? -1 : left > right;
}

static void print_times(const char *name, int64_t *ns, size_t count)
{
    qsort(ns, count, sizeof(*ns), by_time);
    (void)printf("\"%s\": {\"p50\": %.1f, \"p99\": %.1f}", name, (double)ns[count / 2] / 1e3,
                 (double)ns[count * 99 / 100] / 1e3);
}

static void die(const char *what, const struct error *err)
{
    (void)fprintf(stderr, "bench: %s: %s\n", what, err->msg);
    exit(1);
}

static void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

/* What the system calls alone of a publish and unpublish cost. */
static void floor_once(const char *dir)
{
    static const char bytes[FILE_BYTES];
    autofree char *target = str_printf("%s/floor", dir);
    autoclose int fd = -1;

    must(mkdir(target, 0750), "mkdir");
    must(mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=2m"), "mount");
    fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(mkdirat(fd, "..new", 0755), "mkdir");
    for (int i = 0; i < FILES; i++) {
        char name[16];
        int file;

        (void)snprintf(name, sizeof(name), "..new/f%d", i);
        file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        must((int)write(file, bytes, sizeof(bytes)), "write");
        must(close(file), "close");
    }
    must(symlinkat("..new", fd, "..data_tmp"), "symlink");
    must(renameat(fd, "..data_tmp", fd, "..data"), "rename");
    must(close(take_fd(&fd)), "close");
    must(umount2(target, UMOUNT_NOFOLLOW), "umount");
    must(rmdir(target), "rmdir");
}

static int run_floor(char **argv)
{
    static int64_t ns[FLOOR_ROUNDS];

    for (size_t i = 0; i < COUNT_OF(ns); i++) {
        int64_t from = now_ns();

        floor_once(argv[0]);
        ns[i] = now_ns() - from;
    }
    print_times("floor_us", ns, COUNT_OF(ns));
    return 0;
}

static void empty_once(struct rpc_client *client)
{
    Csi__V1__GetPluginInfoRequest in = CSI__V1__GET_PLUGIN_INFO_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__identity__descriptor,
                                   .method = "GetPluginInfo",
                                   .in = &in.base };
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    if (rpc_client_call(client, &request, &reply, &err) < 0)
        die("GetPluginInfo", &err);
    rpc_reply_free(reply);
}

static int run_empty(char **argv)
{
    static int64_t ns[EMPTY_ROUNDS];
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = argv[0] });

    empty_once(client);
    for (size_t i = 0; i < COUNT_OF(ns); i++) {
        int64_t from = now_ns();

        empty_once(client);
        ns[i] = now_ns() - from;
    }
    print_times("rpc_empty_us", ns, COUNT_OF(ns));
    rpc_client_free(client);
    return 0;
}

struct pod {
    char id[80];
    char name[40];
    char uid[40];
    char *target;
    char *parent;
};

static void pod_make_known(struct pod *pod, const char *root, const char *name, const char *uid)
{
    (void)snprintf(pod->name, sizeof(pod->name), "%s", name);
    (void)snprintf(pod->uid, sizeof(pod->uid), "%s", uid);
    (void)snprintf(pod->id, sizeof(pod->id), "csi-%.64s", uid);
    pod->parent = str_printf("%s/pods/%s/volumes/kubernetes.io~csi/v", root, pod->uid);
    pod->target = str_printf("%s/mount", pod->parent);
    if (fs_mkdirs(pod->parent, 0750, NULL) < 0)
        exit(1);
}

/* One that nobody knows but its driver. */
static void pod_make(struct pod *pod, const char *root, int number)
{
    char name[40];

    (void)snprintf(name, sizeof(name), "bench-%08d", number);
    pod_make_known(pod, root, name, name);
    (void)snprintf(pod->id, sizeof(pod->id), "csi-%064d", number);
}

static void pod_done(struct pod *pod)
{
    free(pod->target);
    free(pod->parent);
}

static void publish(struct rpc_client *client, const struct pod *pod)
{
    typedef Csi__V1__NodePublishVolumeRequest__VolumeContextEntry Entry;
    const char *context[CONTEXT][2] = {
        { CONTEXT_CLASS, "bench" },           { CONTEXT_POD_NAME, pod->name },
        { CONTEXT_POD_NAMESPACE, "default" }, { CONTEXT_POD_UID, pod->uid },
        { CONTEXT_SERVICE_ACCOUNT, "sa" },    { CONTEXT_EPHEMERAL, "true" },
    };
    Csi__V1__NodePublishVolumeRequest in = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    Csi__V1__VolumeCapability capability = CSI__V1__VOLUME_CAPABILITY__INIT;
    Csi__V1__VolumeCapability__MountVolume mount = CSI__V1__VOLUME_CAPABILITY__MOUNT_VOLUME__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodePublishVolume",
                                   .in = &in.base };
    Entry entries[CONTEXT];
    Entry *refs[CONTEXT];
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    for (size_t i = 0; i < CONTEXT; i++) {
        csi__v1__node_publish_volume_request__volume_context_entry__init(&entries[i]);
        entries[i].key = (char *)context[i][0];
        entries[i].value = (char *)context[i][1];
        refs[i] = &entries[i];
    }
    capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    capability.mount = &mount;
    in.volume_id = (char *)pod->id;
    in.target_path = pod->target;
    in.volume_capability = &capability;
    in.readonly = 1;
    in.n_volume_context = CONTEXT;
    in.volume_context = refs;
    if (rpc_client_call(client, &request, &reply, &err) < 0)
        die("NodePublishVolume", &err);
    rpc_reply_free(reply);
}

static void unpublish(struct rpc_client *client, const struct pod *pod)
{
    Csi__V1__NodeUnpublishVolumeRequest in = CSI__V1__NODE_UNPUBLISH_VOLUME_REQUEST__INIT;
    struct rpc_request request = { .service = &csi__v1__node__descriptor,
                                   .method = "NodeUnpublishVolume",
                                   .in = &in.base };
    ProtobufCMessage *reply = NULL;
    struct error err = { 0 };

    in.volume_id = (char *)pod->id;
    in.target_path = pod->target;
    if (rpc_client_call(client, &request, &reply, &err) < 0)
        die("NodeUnpublishVolume", &err);
    rpc_reply_free(reply);
}

struct load {
    const char *socket;
    const char *root;
    int number;
    int count;
    int64_t *ns;
};

static void run_pairs(const char *socket, const struct pod *pod, int count, int64_t *ns)
{
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = socket });

    for (int i = 0; i < count; i++) {
        int64_t from = now_ns();

        publish(client, pod);
        unpublish(client, pod);
        ns[i] = now_ns() - from;
    }
    rpc_client_free(client);
}

static void *run_load(void *arg)
{
    struct load *load = arg;
    struct pod pod;

    pod_make(&pod, load->root, load->number);
    run_pairs(load->socket, &pod, load->count, load->ns);
    pod_done(&pod);
    return NULL;
}

enum { THREADS_MAX = 64 };

static int run_pair(char **argv)
{
    int threads = (int)strtol(argv[2], NULL, 10);
    int count = (int)strtol(argv[3], NULL, 10);
    pthread_t ids[THREADS_MAX];
    struct load loads[THREADS_MAX];
    autofree int64_t *ns = xcalloc((size_t)threads * (size_t)count, sizeof(*ns));
    int64_t from = now_ns();
    autofree char *name = str_printf("pair_c%d_us", threads);

    for (int i = 0; i < threads; i++) {
        loads[i] = (struct load){ argv[0], argv[1], i + 1, count, ns + (ptrdiff_t)i * count };
        (void)pthread_create(&ids[i], NULL, run_load, &loads[i]);
    }
    for (int i = 0; i < threads; i++)
        (void)pthread_join(ids[i], NULL);
    (void)printf("\"pair_c%d_per_s\": %.0f, ", threads,
                 (double)threads * count / ((double)(now_ns() - from) / 1e9));
    print_times(name, ns, (size_t)threads * (size_t)count);
    return 0;
}

static int run_pair_of(char **argv)
{
    int count = (int)strtol(argv[2], NULL, 10);
    autofree int64_t *ns = xcalloc((size_t)count, sizeof(*ns));
    struct pod pod;

    pod_make_known(&pod, argv[1], "bench", argv[3]);
    run_pairs(argv[0], &pod, count, ns);
    print_times("pair_of_us", ns, (size_t)count);
    pod_done(&pod);
    return 0;
}

static int run_republish(char **argv)
{
    int count = (int)strtol(argv[2], NULL, 10);
    autofree int64_t *ns = xcalloc((size_t)count, sizeof(*ns));
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = argv[0] });
    struct pod pod;

    pod_make(&pod, argv[1], 999);
    publish(client, &pod);
    for (int i = 0; i < count; i++) {
        int64_t from = now_ns();

        publish(client, &pod);
        ns[i] = now_ns() - from;
    }
    unpublish(client, &pod);
    print_times("republish_noop_us", ns, (size_t)count);
    pod_done(&pod);
    rpc_client_free(client);
    return 0;
}

static int run_publish(char **argv)
{
    int from = (int)strtol(argv[2], NULL, 10);
    int to = (int)strtol(argv[3], NULL, 10);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){ .path = argv[0] });

    for (int i = from; i < to; i++) {
        struct pod pod;

        pod_make(&pod, argv[1], 10000 + i);
        publish(client, &pod);
        pod_done(&pod);
    }
    rpc_client_free(client);
    return 0;
}

static const struct {
    const char *name;
    int words;
    int (*run)(char **argv);
} modes[] = {
    { "floor", 1, run_floor },     { "empty", 1, run_empty },     { "pair", 4, run_pair },
    { "pair_of", 4, run_pair_of }, { "publish", 4, run_publish }, { "republish", 3, run_republish },
};

int main(int argc, char **argv)
{
    rpc_process_setup();
    for (size_t i = 0; argc > 1 && i < COUNT_OF(modes); i++)
        if (strcmp(argv[1], modes[i].name) == 0 && argc == modes[i].words + 2)
            return modes[i].run(argv + 2);
    (void)fprintf(stderr, "bench: see the head of client.c\n");
    return 2;
}
