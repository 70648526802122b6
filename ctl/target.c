/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/target.h"

#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/base/crypto.h"
#include "lib/base/encode.h"
#include "lib/base/fs.h"
#include "lib/base/strbuf.h"

enum {
    PARENT_MODE = 0750, /* kubelet's */
};

static int digest_of(const char *a, const char *b, struct strbuf *ret, struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    autofree char *both = str_printf("%s/%s", a, b);

    if (sha256(both, strlen(both), digest, err) < 0)
        return -1;
    hex_encode(ret, digest, sizeof(digest));
    return 0;
}

int target_volume_id(const char *pod_uid, const char *volume, char **ret, struct error *err)
{
    struct strbuf hex CLEANUP(strbuf_done) = { 0 };

    if (digest_of(pod_uid, volume, &hex, err) < 0)
        return -1;
    *ret = str_printf("csi-%s", strbuf_text(&hex));
    return 0;
}

int target_pod_uid(const char *ns, const char *name, char **ret, struct error *err)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    struct strbuf hex CLEANUP(strbuf_done) = { 0 };
    struct strbuf uid CLEANUP(strbuf_done) = { 0 };
    const char *digit;

    if (digest_of(ns, name, &hex, err) < 0)
        return -1;
    digit = strbuf_text(&hex);
    for (const char *s = shape; *s; s++)
        strbuf_add(&uid, *s == 'x' ? digit++ : "-", 1);
    *ret = strbuf_take(&uid);
    return 0;
}

static bool is_folder_name(const char *text)
{
    return *text && !strchr(text, '/') && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

int target_path(const char *root, const char *pod_uid, const char *volume, char **ret,
                struct error *err)
{
    if (root[0] != '/')
        return ctl_usage(err, "--target-root takes an absolute path");
    if (!is_folder_name(pod_uid) || !is_folder_name(volume))
        return ctl_usage(err, "uid and volume must be names without '/'; or give --target");
    *ret = str_printf("%s/pods/%s/volumes/kubernetes.io~csi/%s/mount", root, pod_uid, volume);
    return 0;
}

int target_make(const char *target, struct error *err)
{
    autofree char *parent = xstrdup(target);
    char *slash = strrchr(parent, '/');

    if (target[0] != '/' || slash == parent)
        return ctl_usage(err, "--target takes an absolute path below another folder");
    *slash = '\0';
    return fs_mkdirs(parent, PARENT_MODE, err);
}

/* From below; NULL: any name. */
static const char *const layout[] = { "mount", NULL, "kubernetes.io~csi", "volumes", NULL };

static bool is_laid_out(const char *target)
{
    autofree char *path = xstrdup(target);

    for (size_t i = 0; i < COUNT_OF(layout); i++) {
        char *slash = strrchr(path, '/');

        if (!slash || slash == path || (layout[i] && strcmp(slash + 1, layout[i]) != 0))
            return false;
        *slash = '\0';
    }
    return true;
}

void target_remove(const char *target)
{
    autofree char *path = xstrdup(target);

    if (!is_laid_out(target))
        return;
    for (size_t i = 0; i < COUNT_OF(layout); i++) {
        if (rmdir(path) < 0 && i > 0) /* the driver has removed the target itself */
            return;
        *strrchr(path, '/') = '\0';
    }
}
