/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/cluster/class_memory.h"

#include <pthread.h>

#include "lib/base/hash.h"

struct kept {
    char *key; /* NAMESPACE/NAME */
    struct class *class;
    UT_hash_handle hh;
};

struct class_memory {
    pthread_mutex_t lock; /* leaf */
    struct kept *classes; /* guarded by lock; in the order they were kept */
};

struct class_memory *class_memory_new(void)
{
    struct class_memory *memory = xcalloc(1, sizeof(*memory));

    (void)pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

/* Caller holds the lock. */
static void drop(struct class_memory *memory, struct kept *k)
{
    if (!k)
        return;
    HASH_DEL(memory->classes, k);
    class_free(k->class);
    free(k->key);
    free(k);
}

/* Caller holds the lock. */
static struct kept *find(struct class_memory *memory, const char *ns, const char *name)
{
    autofree char *key = str_printf("%s/%s", ns, name);
    struct kept *k = NULL;

    HASH_FIND_STR(memory->classes, key, k);
    return k;
}

void class_memory_free(struct class_memory *memory)
{
    if (!memory)
        return;
    while (memory->classes)
        drop(memory, memory->classes);
    (void)pthread_mutex_destroy(&memory->lock);
    free(memory);
}

void class_memory_keep(struct class_memory *memory, const struct class *class)
{
    struct kept *k;

    (void)pthread_mutex_lock(&memory->lock);
    drop(memory, find(memory, class->ns, class->name));
    if (HASH_COUNT(memory->classes) >= CLASS_MEMORY_MAX)
        drop(memory, memory->classes);
    k = xcalloc(1, sizeof(*k));
    k->key = str_printf("%s/%s", class->ns, class->name);
    k->class = class_dup(class);
    HASH_ADD_KEYPTR(hh, memory->classes, k->key, strlen(k->key), k);
    (void)pthread_mutex_unlock(&memory->lock);
}

void class_memory_forget(struct class_memory *memory, const char *ns, const char *name)
{
    (void)pthread_mutex_lock(&memory->lock);
    drop(memory, find(memory, ns, name));
    (void)pthread_mutex_unlock(&memory->lock);
}

struct class *class_memory_get(struct class_memory *memory, const char *ns, const char *name)
{
    const struct kept *k;
    struct class *copy = NULL;

    (void)pthread_mutex_lock(&memory->lock);
    k = find(memory, ns, name);
    if (k)
        copy = class_dup(k->class);
    (void)pthread_mutex_unlock(&memory->lock);
    return copy;
}
