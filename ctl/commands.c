/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"
#include "lib/model/nearest.h"

static const struct command *const commands[] = {
    &command_publish, &command_unpublish, &command_list,     &command_status,
    &command_refresh, &command_metrics,   &command_validate, &command_audit,
    &command_doctor,  &command_migrate,   &command_version,
};

static const char usage_reason[] = "Usage";

int ctl_usage(struct error *err, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)error_set(err, CODE_INVALID_ARGUMENT, "%s", text);
    return error_reason(err, usage_reason);
}

int ctl_wants_json(const char *output, bool *ret, struct error *err)
{
    if (strcmp(output, "json") != 0 && strcmp(output, "text") != 0)
        return ctl_usage(err, "-o takes text or json, not \"%.40s\"", output);
    *ret = strcmp(output, "json") == 0;
    return 0;
}

static void print_commands(FILE *to)
{
    (void)fprintf(to, "Asks Locket's driver, plays kubelet, and checks classes.\n\n"
                      "Usage: locketctl COMMAND [FLAGS] [WORDS]\n\nCommands:\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        (void)fprintf(to, "  %-12s%s\n", commands[i]->name, commands[i]->summary);
    (void)fprintf(to, "\nlocketctl COMMAND --help tells a command's flags.\n"
                      "Ends with 0 when done, 1 when a call failed, 2 for a wrong command line.\n");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static enum ctl_exit unknown(const struct ctl *ctl, const char *name)
{
    struct nearest near = { .wanted = name };

    for (size_t i = 0; i < COUNT_OF(commands); i++)
        nearest_offer(&near, commands[i]->name);
    if (near.found)
        (void)fprintf(ctl->err, "locketctl: unknown command \"%.40s\": did you mean %s?\n", name,
                      near.found);
    else
        (void)fprintf(ctl->err, "locketctl: unknown command \"%.40s\": see locketctl --help\n",
                      name);
    return CTL_USAGE;
}

/* A command line from the command's name on. */
struct line {
    const struct command *command;
    struct option_table table;
    int argc;
    char **argv;
};

/* Reads flags and words, checks their number, runs. */
static int parse_and_run(const struct ctl *ctl, const struct line *line, struct error *err)
{
    const struct command *c = line->command;
    autofree void *config = xcalloc(1, c->config_bytes);
    autofree char **words = NULL;
    size_t count = 0;
    int result = options_parse(&line->table, line->argc, line->argv, config, &words, err);

    while (words && words[count])
        count++;
    if (result < 0)
        (void)error_reason(err, usage_reason);
    else if (count < c->words_min || count > c->words_max)
        result = ctl_usage(err, "takes %s%s", *c->words ? c->words : "no words",
                           count < c->words_min ? "; it is missing" : "");
    else
        result = c->run(ctl, config, words, count, err);
    options_done(&line->table, config);
    return result;
}

static enum ctl_exit run(const struct ctl *ctl, const struct line *line)
{
    const struct command *c = line->command;
    struct error err = { 0 };

    if (options_asked_help(line->argc, line->argv)) {
        autofree char *usage =
            str_printf("locketctl %s [FLAGS]%s%s", c->name, *c->words ? " " : "", c->words);

        options_print_help(&line->table, usage);
        return CTL_DONE;
    }
    if (parse_and_run(ctl, line, &err) == 0)
        return CTL_DONE;
    (void)fflush(ctl->out);
    if (err.reason == usage_reason) {
        (void)fprintf(ctl->err, "locketctl: %s: %s (see locketctl %s --help)\n", c->name, err.msg,
                      c->name);
        return CTL_USAGE;
    }
    (void)fprintf(ctl->err, "locketctl: %s: %s\n", code_name(err.code), err.msg);
    return CTL_FAILED;
}

enum ctl_exit ctl_run(const struct ctl *ctl, int argc, char **argv)
{
    const struct command *c;

    if (argc < 2) {
        print_commands(ctl->err);
        return CTL_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_commands(ctl->out);
        return CTL_DONE;
    }
    c = find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
    if (!c)
        return unknown(ctl, argv[1]);
    return run(ctl, &(struct line){
                        .command = c,
                        .table = { .program = "locketctl",
                                   .summary = c->summary,
                                   .rows = c->options,
                                   .count = c->option_count },
                        .argc = argc - 1,
                        .argv = argv + 1,
                    });
}
