/* SPDX-License-Identifier: Apache-2.0
 *
 * Classes from a folder: what is found, what breaks what, and how soon a change is seen.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/cluster/class_folder.h"
#include "driver/cluster/cluster.h"
#include "lib/base/clock.h"
#include "lib/base/fs.h"
#include "tests/check.h"

/* WRAP: fstat */
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);

static bool coarse; /* does the file system count time in whole seconds, as some do? */

int __wrap_fstat(int fd, struct stat *st)
{
    int result = __real_fstat(fd, st);

    if (coarse)
        st->st_mtim.tv_nsec = st->st_ctim.tv_nsec = 0;
    return result;
}

static char folder[] = "/tmp/locket-classes-XXXXXX"; /* made anew for each test */
static struct cluster *cluster;

#define CLASS(name_, provider_)                                                                    \
    "apiVersion: secrets-store.csi.x-k8s.io/v1\n"                                                  \
    "kind: SecretProviderClass\n"                                                                  \
    "metadata: {name: " name_ "}\n"                                                                \
    "spec: {provider: " provider_ ", parameters: {a: b}}\n"

#define NOT_FOUND(ns_, name_)                                                                      \
    "failed to get secretproviderclass " ns_ "/" name_                                             \
    ", error: secretproviderclasses.secrets-store.csi.x-k8s.io \"" name_ "\" not found"

static void put(const char *name, const char *text)
{
    autofree char *path = str_printf("%s/%s", folder, name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void put_by_rename(const char *name, const char *text)
{
    autofree char *from = str_printf("%s/.new", folder);
    autofree char *to = str_printf("%s/%s", folder, name);

    put(".new", text);
    assert_int_equal(rename(from, to), 0);
}

static void make_link(const char *target, const char *name)
{
    autofree char *path = str_printf("%s/%s", folder, name);

    (void)unlink(path);
    assert_int_equal(symlink(target, path), 0);
}

static void make_folder(const char *name)
{
    autofree char *path = str_printf("%s/%s", folder, name);

    assert_int_equal(mkdir(path, 0755), 0);
}

static void drop(const char *name)
{
    autofree char *path = str_printf("%s/%s", folder, name);

    assert_int_equal(unlink(path), 0);
}

static void expect(const char *ns, const char *name, const char *provider, int line)
{
    struct class *c autoclass = NULL;
    struct error err = { 0 };

    if (cluster->ops->get_class(cluster, ns, name, NULL, &c, &err) < 0)
        fail_msg("line %d: %s", line, err.msg);
    if (strcmp(c->provider, provider) != 0)
        fail_msg("line %d: provider is %s, not %s", line, c->provider, provider);
}
#define EXPECT(ns_, name_, provider_) expect(ns_, name_, provider_, __LINE__)

static void refuse(const char *name, enum code code, const char *text, int line)
{
    struct class *c autoclass = NULL;
    struct error err = { 0 };

    if (cluster->ops->get_class(cluster, "default", name, NULL, &c, &err) == 0)
        fail_msg("line %d: %s was found", line, name);
    if (err.code != code || !strstr(err.msg, text))
        fail_msg("line %d: %s: %s", line, code_name(err.code), err.msg);
}
#define REFUSE(name_, code_, text_) refuse(name_, code_, text_, __LINE__)

static void remove_folder(void)
{
    struct error err = { 0 };
    int tmp autoclose = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fs_remove_tree(tmp, strrchr(folder, '/') + 1, &err) < 0)
        fail_msg("%s", err.msg);
}

static int make(void **state)
{
    struct error err = { 0 };

    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/locket-classes-XXXXXX");
    assert_non_null(mkdtemp(folder));
    if (cluster_local_new(folder, &cluster, &err) < 0)
        fail_msg("%s", err.msg);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    cluster->ops->free(cluster);
    remove_folder();
    return 0;
}

static void yaml_yml_and_json_are_read_and_nothing_else(void **state)
{
    (void)state;
    put("a.yaml", CLASS("a1", "one") "---\n" CLASS(
                      "a2", "two") "---\n"
                                   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a3}\n");
    put("b.yml", "apiVersion: secrets-store.csi.x-k8s.io/v1alpha1\n"
                 "kind: SecretProviderClass\n"
                 "metadata: {name: b, namespace: shop}\n"
                 "spec: {provider: three}\n");
    put("c.json", "{\"apiVersion\": \"secrets-store.csi.x-k8s.io/v1\", \"kind\": "
                  "\"SecretProviderClass\", \"metadata\": {\"name\": \"c\"}, \"spec\": "
                  "{\"provider\": \"four\"}}");
    put("list.yaml", "apiVersion: v1\nkind: List\nitems:\n"
                     "- apiVersion: secrets-store.csi.x-k8s.io/v1\n"
                     "  kind: SecretProviderClass\n"
                     "  metadata: {name: d}\n"
                     "  spec: {provider: five}\n");
    put("notes.txt", CLASS("e", "x"));
    put(".hidden.yaml", CLASS("f", "x"));
    put("g.yaml~", CLASS("g", "x"));
    EXPECT("default", "a1", "one");
    EXPECT("default", "a2", "two");
    EXPECT("shop", "b", "three");
    EXPECT("default", "c", "four");
    EXPECT("default", "d", "five");
    REFUSE("a3", CODE_NOT_FOUND, NOT_FOUND("default", "a3"));
    REFUSE("b", CODE_NOT_FOUND, NOT_FOUND("default", "b"));
    REFUSE("e", CODE_NOT_FOUND, NOT_FOUND("default", "e"));
    REFUSE("f", CODE_NOT_FOUND, NOT_FOUND("default", "f"));
    REFUSE("g", CODE_NOT_FOUND, NOT_FOUND("default", "g"));
}

static void the_same_name_twice_names_both_files_and_harms_nobody_else(void **state)
{
    (void)state;
    put("one.yaml", CLASS("same", "x") "---\n" CLASS("other", "y"));
    put("two.yaml", "\n\n" CLASS("same", "x"));
    REFUSE("same", CODE_INVALID_ARGUMENT,
           "class default/same is there twice: in one.yaml (line 1) and in two.yaml (line 3); "
           "keep one");
    EXPECT("default", "other", "y");
    drop("two.yaml");
    EXPECT("default", "same", "x");
    put("one.yaml", CLASS("same", "x") "---\n" CLASS("same", "y"));
    REFUSE("same", CODE_INVALID_ARGUMENT, "in one.yaml (line 1) and in one.yaml (line 6)");
}

static void a_broken_file_fails_only_its_own_classes(void **state)
{
    (void)state;
    put("bad.yaml", CLASS("lost", "x") "  oops: [\n");
    put("good.yaml", CLASS("good", "y"));
    EXPECT("default", "good", "y");
    REFUSE(
        "lost", CODE_NOT_FOUND,
        NOT_FOUND("default", "lost") "; it may be in a file that cannot be read: bad.yaml: line ");
    put("bad.yaml", CLASS("lost", "x"));
    EXPECT("default", "lost", "x");
}

static void a_broken_class_fails_alone_and_says_where(void **state)
{
    (void)state;
    put("a.yaml", "apiVersion: secrets-store.csi.x-k8s.io/v1\n"
                  "kind: SecretProviderClass\n"
                  "metadata: {name: bad}\n"
                  "spec: {parameters: {a: 1}}\n"
                  "---\n" CLASS("good", "y"));
    REFUSE("bad", CODE_INVALID_ARGUMENT,
           "failed to get secretproviderclass default/bad, error: a.yaml: line 4 column 24: "
           "spec.parameters.a: must be a string, not a number; put it in quotes");
    EXPECT("default", "good", "y");
    put("a.yaml", "apiVersion: secrets-store.csi.x-k8s.io/v2\nkind: SecretProviderClass\n"
                  "metadata: {name: new}\n");
    REFUSE("new", CODE_INVALID_ARGUMENT, "a.yaml: line 1 column 13: apiVersion: must be ");
    put("a.yaml", "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n");
    REFUSE("new", CODE_NOT_FOUND, "cannot be read: a.yaml: line 1 column 1: metadata: is missing");
}

static void a_change_is_seen_at_once_however_it_is_made(void **state)
{
    (void)state;
    put("a.yaml", CLASS("app", "one"));
    EXPECT("default", "app", "one");
    put("a.yaml", CLASS("app", "two")); /* the same size, likely within one tick */
    EXPECT("default", "app", "two");
    put_by_rename("a.yaml", CLASS("app", "six"));
    EXPECT("default", "app", "six");
    coarse = true;
    for (int i = 0; i < 200; i++) { /* many within one tick of the file system's clock */
        put("a.yaml", i % 2 ? CLASS("app", "xxx") : CLASS("app", "yyy"));
        EXPECT("default", "app", i % 2 ? "xxx" : "yyy");
    }
    coarse = false;
    for (int i = 0; i < 200; i++) {
        put_by_rename("a.yaml", i % 2 ? CLASS("app", "odd") : CLASS("app", "eve"));
        EXPECT("default", "app", i % 2 ? "odd" : "eve");
    }
    drop("a.yaml");
    REFUSE("app", CODE_NOT_FOUND, NOT_FOUND("default", "app"));
}

static void a_change_is_seen_in_files_that_were_kept(void **state)
{
    (void)state;
    put("a.yaml", CLASS("app", "one"));
    put("b.yaml", CLASS("b", "one"));
    clock_sleep_ms(1100); /* now they are settled: their content is kept from here on */
    EXPECT("default", "app", "one");
    EXPECT("default", "app", "one");
    put("a.yaml", CLASS("app", "two"));
    EXPECT("default", "app", "two");
    EXPECT("default", "b", "one");
    put_by_rename("b.yaml", CLASS("b", "two"));
    EXPECT("default", "b", "two");
    EXPECT("default", "app", "two");
}

static void a_settled_file_is_not_parsed_again(void **state)
{
    struct class_folder *f = class_folder_new(folder);
    const struct class *first = NULL;
    const struct class *second = NULL;

    (void)state;
    put("a.yaml", CLASS("app", "one"));
    clock_sleep_ms(1100);
    assert_int_equal(class_folder_refresh(f, NULL), 0);
    assert_int_equal(class_folder_find(f, "default", "app", &first, NULL), 0);
    assert_int_equal(class_folder_refresh(f, NULL), 0);
    assert_int_equal(class_folder_find(f, "default", "app", &second, NULL), 0);
    assert_ptr_equal(first, second);
    class_folder_free(f);
}

static void links_are_followed_inside_the_folder_only(void **state)
{
    char outside[] = "/tmp/locket-outside-XXXXXX.yaml";
    int fd = mkostemps(outside, 5, O_CLOEXEC);
    const char *text = CLASS("out", "x");

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    make_link(outside, "out.yaml");
    REFUSE("out", CODE_NOT_FOUND,
           "out.yaml: is a link out of the folder; put the file itself here");
    drop("out.yaml");
    make_link(strrchr(outside, '/') + 1, "up.yaml");
    REFUSE("out", CODE_NOT_FOUND, "up.yaml: cannot be opened: ");
    drop("up.yaml");
    make_link("../..", "parent");
    make_link("parent/etc/hostname", "parent.yaml");
    REFUSE("out", CODE_NOT_FOUND, "parent.yaml: is a link out of the folder");
    drop("parent.yaml");
    make_link("loop.yaml", "loop.yaml");
    REFUSE("out", CODE_NOT_FOUND, "loop.yaml: cannot be opened: ");
    assert_int_equal(unlink(outside), 0);
}

/* As kubelet mounts a ConfigMap: one rename swaps all files. */
static void a_config_maps_swap_is_seen_at_once(void **state)
{
    autofree char *from = str_printf("%s/..data_tmp", folder);
    autofree char *to = str_printf("%s/..data", folder);

    (void)state;
    make_folder("..1");
    make_folder("..2");
    put("..1/a.yaml", CLASS("app", "one"));
    put("..2/a.yaml", CLASS("app", "two"));
    make_link("..1", "..data");
    make_link("..data/a.yaml", "a.yaml");
    EXPECT("default", "app", "one");
    make_link("..2", "..data_tmp");
    assert_int_equal(rename(from, to), 0);
    EXPECT("default", "app", "two");
}

static void what_is_no_file_of_fair_size_is_refused_without_waiting(void **state)
{
    autofree char *fifo = str_printf("%s/pipe.yaml", folder);
    autofree char *large = str_printf("%s/large.yaml", folder);
    autofree char *dir = str_printf("%s/dir.yaml", folder);

    (void)state;
    put("good.yaml", CLASS("good", "y"));
    assert_int_equal(mkfifo(fifo, 0644), 0);
    REFUSE("x", CODE_NOT_FOUND, "pipe.yaml: is not a regular file");
    drop("pipe.yaml");
    make_folder("dir.yaml");
    REFUSE("x", CODE_NOT_FOUND, "dir.yaml: is not a regular file");
    assert_int_equal(rmdir(dir), 0);
    put("large.yaml", "");
    assert_int_equal(truncate(large, (4 << 20) + 1), 0);
    REFUSE("x", CODE_NOT_FOUND, "large.yaml: is larger than 4194304 bytes");
    EXPECT("default", "good", "y");
}

static void more_files_than_the_ceiling_are_refused_by_number(void **state)
{
    (void)state;
    for (int i = 0; i < CLASS_FILES_MAX; i++) {
        autofree char *name = str_printf("f%d.yaml", i);

        put(name, "");
    }
    REFUSE("x", CODE_NOT_FOUND, NOT_FOUND("default", "x"));
    put("more.yaml", CLASS("more", "y"));
    REFUSE("more", CODE_RESOURCE_EXHAUSTED, "has more than 1000 files of classes");
}

static void a_folder_that_went_away_is_worth_trying_again(void **state)
{
    (void)state;
    remove_folder();
    REFUSE("x", CODE_UNAVAILABLE,
           "failed to get secretproviderclass default/x, error: classes "
           "folder /tmp/");
    assert_int_equal(mkdir(folder, 0755), 0);
    put("a.yaml", CLASS("x", "y"));
    EXPECT("default", "x", "y");
}

static void a_start_without_a_folder_is_refused(void **state)
{
    struct cluster *c = NULL;
    struct error err = { 0 };
    autofree char *file = str_printf("%s/file", folder);

    (void)state;
    put("file", "");
    assert_int_equal(cluster_local_new("", &c, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_int_equal(cluster_local_new(file, &c, &err), -1);
    assert_int_equal(err.code, CODE_INVALID_ARGUMENT);
    assert_int_equal(cluster_local_new("/nowhere/at/all", &c, &err), -1);
    assert_int_equal(err.code, CODE_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(yaml_yml_and_json_are_read_and_nothing_else, make, unmake),
        cmocka_unit_test_setup_teardown(the_same_name_twice_names_both_files_and_harms_nobody_else,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(a_broken_file_fails_only_its_own_classes, make, unmake),
        cmocka_unit_test_setup_teardown(a_broken_class_fails_alone_and_says_where, make, unmake),
        cmocka_unit_test_setup_teardown(a_change_is_seen_at_once_however_it_is_made, make, unmake),
        cmocka_unit_test_setup_teardown(a_change_is_seen_in_files_that_were_kept, make, unmake),
        cmocka_unit_test_setup_teardown(a_settled_file_is_not_parsed_again, make, unmake),
        cmocka_unit_test_setup_teardown(links_are_followed_inside_the_folder_only, make, unmake),
        cmocka_unit_test_setup_teardown(a_config_maps_swap_is_seen_at_once, make, unmake),
        cmocka_unit_test_setup_teardown(what_is_no_file_of_fair_size_is_refused_without_waiting,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(more_files_than_the_ceiling_are_refused_by_number, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(a_folder_that_went_away_is_worth_trying_again, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(a_start_without_a_folder_is_refused, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
