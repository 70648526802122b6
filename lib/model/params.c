/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/model/params.h"

#include <strings.h>

enum {
    NAME_BYTES = 1 << 10,    /* names, paths, addresses: far above what any store takes */
    OBJECTS_BYTES = 1 << 20, /* as CLASS_PARAMETER_BYTES_MAX */
    DURATION_BYTES = 64,
    BOOL_BYTES = 8,
    ARGS_BYTES = 64 << 10,
};

/* Rows of the common kinds: each says only what is its own. */
#define TEXT(name_, help_)                                                                         \
    {                                                                                              \
        .name = (name_), .kind = PARAM_TEXT, .bytes_max = NAME_BYTES, .help = (help_)              \
    }
#define TRUSTED(name_, kind_, help_)                                                               \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .bytes_max = NAME_BYTES, .trusted = true,                \
        .help = (help_)                                                                            \
    }
#define FLAG(name_, empty_, help_)                                                                 \
    {                                                                                              \
        .name = (name_), .kind = PARAM_BOOL, .bytes_max = BOOL_BYTES, .trusted = true,             \
        .may_be_empty = (empty_), .help = (help_)                                                  \
    }
#define OBJECT(name_, kind_, help_)                                                                \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .bytes_max = NAME_BYTES, .help = (help_)                 \
    }
#define NEEDED(name_, kind_, help_)                                                                \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .bytes_max = NAME_BYTES, .required = true,               \
        .help = (help_)                                                                            \
    }
#define CHOICE(name_, values_, help_)                                                              \
    {                                                                                              \
        .name = (name_), .kind = OBJECT_ENUM, .bytes_max = NAME_BYTES, .values = (values_),        \
        .help = (help_)                                                                            \
    }
#define TABLE(params_, objects_)                                                                   \
    .params = params_, .param_count = COUNT_OF(params_), .objects = objects_,                      \
    .object_count = COUNT_OF(objects_)

static const struct param_row generic_params[] = {
    { .name = "rotationPollInterval",
      .kind = PARAM_DURATION,
      .bytes_max = DURATION_BYTES,
      .help = "how often volumes of this class are refreshed, such as 2m" },
};

static const struct param_table generic = {
    .provider = "",
    .summary = "every store",
    .params = generic_params,
    .param_count = COUNT_OF(generic_params),
};

static const char *const encodings[] = { "", "utf-8", "base64", "hex", NULL };

/* --- vault. Source: vault-csi-provider internal/config/config.go. --- */

static const struct param_row vault_params[] = {
    { .name = "roleName",
      .kind = PARAM_TEXT,
      .bytes_max = NAME_BYTES,
      .required = true,
      .trusted = true,
      .help = "role of the auth mount to log in as" },
    { .name = "objects",
      .kind = PARAM_OBJECTS,
      .bytes_max = OBJECTS_BYTES,
      .required = true,
      .help = "list of what to read and the files it becomes" },
    TRUSTED("vaultAddress", PARAM_URL, "http://, https:// or unix:// address of the server"),
    TRUSTED("vaultNamespace", PARAM_TEXT, "namespace that login and paths are in"),
    TRUSTED("vaultCACertPath", PARAM_PATH, "file of CA certificates; goes before the folder"),
    TRUSTED("vaultCADirectory", PARAM_PATH, "folder of CA certificates"),
    TRUSTED("vaultTLSServerName", PARAM_TEXT, "name to expect in the server's certificate"),
    TRUSTED("vaultTLSClientCertPath", PARAM_PATH, "client certificate; needs its key too"),
    TRUSTED("vaultTLSClientKeyPath", PARAM_PATH, "key of the client certificate"),
    FLAG("vaultSkipTLSVerify", false, "true: believe any certificate; for tests only"),
    TRUSTED("vaultKubernetesMountPath", PARAM_TEXT, "old name of vaultAuthMountPath"),
    TRUSTED("vaultAuthMountPath", PARAM_TEXT, "path of the kubernetes or jwt auth mount"),
    TRUSTED("audience", PARAM_TEXT, "audience of the service account token to log in with"),
};

static const struct object_row vault_objects[] = {
    NEEDED("objectName", OBJECT_TEXT, "path of the file"),
    NEEDED("secretPath", OBJECT_TEXT, "API path to read; may end in ?query"),
    OBJECT("secretKey", OBJECT_TEXT, "key inside the data; without it the whole answer"),
    OBJECT("method", OBJECT_TEXT, "HTTP method, GET unless given"),
    { .name = "secretArgs",
      .kind = OBJECT_MAP,
      .bytes_max = ARGS_BYTES,
      .help = "arguments, sent as a JSON body" },
    OBJECT("filePermission", OBJECT_MODE, "mode of the file, such as 0400"),
    CHOICE("encoding", encodings, "how the value is encoded in the store: utf-8, base64 or hex"),
};

/* --- file: the embedded default. --- */

static const struct param_row file_params[] = {
    { .name = "objects",
      .kind = PARAM_OBJECTS,
      .bytes_max = OBJECTS_BYTES,
      .help = "list of what to read; without it everything" },
};

static const struct object_row file_objects[] = {
    NEEDED("objectName", OBJECT_TEXT, "file below the root, or key of the document"),
    OBJECT("path", OBJECT_TEXT, "path of the file in the volume, objectName unless given"),
    OBJECT("filePermission", OBJECT_MODE, "mode of the file, such as 0400"),
    CHOICE("encoding", encodings, "how the value is encoded in the store: utf-8, base64 or hex"),
};

/* --- aws. Source: secrets-store-csi-driver-provider-aws provider/secret_descriptor.go. --- */

static const char *const address_types[] = { "", "auto", "ipv4", "ipv6", NULL };
static const char *const aws_types[] = { "secretsmanager", "ssmparameter", NULL };

static const struct param_row aws_params[] = {
    { .name = "objects",
      .kind = PARAM_OBJECTS,
      .bytes_max = OBJECTS_BYTES,
      .required = true,
      .help = "list of secrets and parameters" },
    TRUSTED("region", PARAM_TEXT, "region to ask, such as eu-central-1"),
    TRUSTED("failoverRegion", PARAM_TEXT, "region to ask when the first does not answer"),
    TEXT("pathTranslation", "character that replaces / in file names, or False"),
    FLAG("usePodIdentity", true, "true: EKS Pod Identity instead of IAM roles for accounts"),
    { .name = "preferredAddressType",
      .kind = PARAM_ENUM,
      .bytes_max = NAME_BYTES,
      .trusted = true,
      .values = address_types,
      .help = "ipv4, ipv6 or auto: how the Pod Identity agent is reached" },
};

static const struct object_row aws_objects[] = {
    NEEDED("objectName", OBJECT_TEXT, "name or ARN of the secret or parameter"),
    CHOICE("objectType", aws_types, "secretsmanager or ssmparameter; an ARN says it itself"),
    OBJECT("objectAlias", OBJECT_TEXT, "name of the file, objectName unless given"),
    OBJECT("objectVersion", OBJECT_TEXT, "version id"),
    OBJECT("objectVersionLabel", OBJECT_TEXT, "staging label"),
    OBJECT("filePermission", OBJECT_MODE, "mode of the file, four octal digits"),
    { .name = "jmesPath",
      .kind = OBJECT_LIST,
      .bytes_max = ARGS_BYTES,
      .help = "pieces of a JSON secret, each a file: path, objectAlias, filePermission" },
    { .name = "failoverObject",
      .kind = OBJECT_MAP,
      .bytes_max = ARGS_BYTES,
      .help = "what to read in the failover region: objectName, version, label" },
};

/* --- azure. Source: secrets-store-csi-driver-provider-azure pkg/provider/types/const.go. --- */

static const char *const azure_types[] = { "secret", "key", "cert", NULL };
static const char *const azure_formats[] = { "", "pem", "pfx", NULL };

static const struct param_row azure_params[] = {
    { .name = "keyvaultName",
      .kind = PARAM_TEXT,
      .bytes_max = NAME_BYTES,
      .required = true,
      .trusted = true,
      .help = "name of the Key Vault" },
    TRUSTED("tenantID", PARAM_TEXT, "tenant of the Key Vault"),
    TRUSTED("tenantId", PARAM_TEXT, "old spelling of tenantID"),
    { .name = "objects",
      .kind = PARAM_OBJECTS_ARRAY,
      .bytes_max = OBJECTS_BYTES,
      .required = true,
      .help = "map with a list `array` of secrets, keys and certificates" },
    TRUSTED("clientID", PARAM_TEXT, "client id of the workload identity"),
    FLAG("usePodIdentity", true, "true: the retired aad-pod-identity"),
    FLAG("useVMManagedIdentity", true, "true: the node's managed identity"),
    TRUSTED("userAssignedIdentityID", PARAM_TEXT, "client id of the user-assigned identity"),
    FLAG("useAzureTokenProxy", true, "true: AKS identity binding"),
    TRUSTED("cloudName", PARAM_TEXT, "AzurePublicCloud unless given"),
    { .name = "cloudEnvFileName",
      .kind = PARAM_PATH,
      .bytes_max = NAME_BYTES,
      .trusted = true,
      .may_be_empty = true,
      .help = "JSON file that describes an Azure Stack cloud" },
};

static const struct object_row azure_objects[] = {
    NEEDED("objectName", OBJECT_TEXT, "name of the secret, key or certificate"),
    { .name = "objectType",
      .kind = OBJECT_ENUM,
      .bytes_max = NAME_BYTES,
      .required = true,
      .values = azure_types,
      .help = "secret, key or cert" },
    OBJECT("objectAlias", OBJECT_TEXT, "path of the file, objectName unless given"),
    OBJECT("objectVersion", OBJECT_TEXT, "version; empty for the latest"),
    OBJECT("objectVersionHistory", OBJECT_COUNT, "number of versions, newest first"),
    CHOICE("objectFormat", azure_formats, "pem or pfx"),
    CHOICE("objectEncoding", encodings, "how the value is encoded in the store"),
    OBJECT("filePermission", OBJECT_MODE, "mode of the file, such as 0400"),
};

/* --- gcp. Source: secrets-store-csi-driver-provider-gcp config/config.go. --- */

static const char *const gcp_auth[] = { "", "pod-adc", "provider-adc", NULL };

static const struct param_row gcp_params[] = {
    { .name = "secrets",
      .kind = PARAM_OBJECTS,
      .bytes_max = OBJECTS_BYTES,
      .required = true,
      .help = "list of secret and parameter versions" },
    { .name = "auth",
      .kind = PARAM_ENUM,
      .bytes_max = NAME_BYTES,
      .trusted = true,
      .values = gcp_auth,
      .help = "pod-adc or provider-adc: whose identity asks" },
};

static const struct object_row gcp_objects[] = {
    NEEDED("resourceName", OBJECT_TEXT, "projects/P/secrets/S/versions/V"),
    OBJECT("path", OBJECT_TEXT, "path of the file"),
    OBJECT("fileName", OBJECT_TEXT, "old name of path"),
    OBJECT("extractJSONKey", OBJECT_TEXT, "key of a JSON value to take alone"),
    OBJECT("extractYAMLKey", OBJECT_TEXT, "key of a YAML value to take alone"),
    OBJECT("mode", OBJECT_MODE, "mode of the file, such as 0400"),
};

static const struct param_table tables[] = {
    { .provider = "vault",
      .summary = "HashiCorp Vault and OpenBao",
      .path = "objectName",
      TABLE(vault_params, vault_objects) },
    { .provider = "file",
      .summary = "files of the node",
      .path = "objectName",
      .alias = "path",
      TABLE(file_params, file_objects) },
    { .provider = "aws",
      .summary = "AWS Secrets Manager and Parameter Store",
      .any_case = true,
      TABLE(aws_params, aws_objects) },
    { .provider = "azure",
      .summary = "Azure Key Vault",
      .path = "objectName",
      .alias = "objectAlias",
      TABLE(azure_params, azure_objects) },
    { .provider = "gcp",
      .summary = "Google Cloud Secret Manager and Parameter Manager",
      .path = "fileName",
      .alias = "path",
      TABLE(gcp_params, gcp_objects) },
};

const struct param_table *params_of(const char *provider)
{
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        if (strcmp(tables[i].provider, provider) == 0)
            return &tables[i];
    return NULL;
}

size_t params_table_count(void)
{
    return COUNT_OF(tables);
}

const struct param_table *params_table_at(size_t index)
{
    return &tables[index];
}

const struct param_table *params_generic(void)
{
    return &generic;
}

static const struct param_row *row_in(const struct param_table *table, const char *name)
{
    for (size_t i = 0; i < table->param_count; i++)
        if (strcmp(table->params[i].name, name) == 0)
            return &table->params[i];
    return NULL;
}

const struct param_row *params_row(const struct param_table *table, const char *name)
{
    const struct param_row *row = table ? row_in(table, name) : NULL;

    return row ? row : row_in(&generic, name);
}

const struct object_row *params_object_row(const struct param_table *table, const char *name)
{
    for (size_t i = 0; i < table->object_count; i++) {
        const char *known = table->objects[i].name;

        if (strcmp(known, name) == 0 || (table->any_case && strcasecmp(known, name) == 0))
            return &table->objects[i];
    }
    return NULL;
}

/* Words that, in another people's parameter, smell of who is asked and as whom. A name too many
 * costs a pod an override; a name too few may cost a secret. */
static const char *const trusted_words[] = {
    "address", "url",    "endpoint", "region",   "ca",        "tls",   "cert",  "auth",
    "role",    "tenant", "identity", "audience", "namespace", "mount", "proxy", "skip",
};

bool params_is_trusted(const char *provider, const char *name)
{
    const struct param_row *row = params_row(params_of(provider), name);

    if (row)
        return row->trusted;
    for (size_t i = 0; i < COUNT_OF(trusted_words); i++)
        if (strcasestr(name, trusted_words[i]))
            return true;
    return false;
}

int param_bool(const char *name, const char *text, bool *ret, struct error *err)
{
    static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
    static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };

    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return error_set(err, CODE_INVALID_ARGUMENT, "%.100s: must be \"true\" or \"false\"", name);
}

/* Digits of a base to a number of at most 0777. */
static bool digits(const char *text, unsigned base, mode_t *ret)
{
    unsigned value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        unsigned digit = (unsigned)(*text - '0');

        if (*text < '0' || digit >= base)
            return false;
        value = value * base + digit;
        if (value > 0777)
            return false;
    }
    *ret = (mode_t)value;
    return true;
}

static bool mode_of(const struct tree *node, mode_t *ret)
{
    const char *text = node->text;

    if (node->kind != TREE_NUMBER && node->kind != TREE_TEXT)
        return false;
    if (str_starts(text, "0o"))
        return digits(text + 2, 8, ret);
    if (node->kind == TREE_TEXT || (text[0] == '0' && text[1]))
        return digits(text, 8, ret);
    return digits(text, 10, ret);
}

int param_mode(const struct tree *node, mode_t *ret, struct error *err)
{
    if (mode_of(node, ret))
        return 0;
    return error_set(err, CODE_INVALID_ARGUMENT,
                     "%.100s: must be a mode from 0000 to 0777, such as 0644 or \"0644\"",
                     node->key ? node->key : "mode");
}
