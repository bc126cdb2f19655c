#include <stdarg.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/config/internal.h"
#include "engine/config/parser.h"

#define DEFAULT_USER "tidewire"

static void
print_help(void)
{
    printf("Usage: tidewire [-c FILE] [-p PORT]... [-v] [-d]\n"
           "       tidewire --test-config [-c FILE]\n"
           "\n"
           "tidewire is an MQTT broker for MQTT 5.0, 3.1.1 and 3.1. Without a configuration it listens on\n"
           "port 1883 of the loopback interface and lets everyone in.\n"
           "\n"
           "  -c, --config-file FILE  read the configuration (mosquitto.conf's grammar) from FILE\n"
           "  -p, --port PORT         listen on PORT of the loopback interface; up to %d times; ignored when the\n"
           "                          configuration file defines a listener\n"
           "  -v, --verbose           log all types of messages, whatever the configuration says\n"
           "  -d, --daemon            go to the background after the start\n"
           "      --test-config       check the configuration, say what is wrong with it, and exit\n"
           "      --version           print the version and exit\n"
           "  -h, --help              print this text and exit\n"
           "\n"
           "Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT end the broker.\n",
           CONFIG_COMMAND_PORTS_MAX);
}

__attribute__((format(printf, 1, 2))) static bool
refuse_argument(const char *format, ...)
{
    va_list arguments;

    fputs("Error: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\nSee 'tidewire --help'.\n", stderr);
    return false;
}

static bool
read_port(struct config *config, const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    if (end == text || *end != '\0' || port < 1 || port > UINT16_MAX) {
        return refuse_argument("'%s' is not a port: a number between 1 and 65535", text);
    }
    if (config->command_port_count == CONFIG_COMMAND_PORTS_MAX) {
        return refuse_argument("more than %d ports on the command line", CONFIG_COMMAND_PORTS_MAX);
    }
    for (unsigned i = 0; i < config->command_port_count; i++) {
        if (config->command_ports[i] == port) {
            return refuse_argument("port %ld is given twice on the command line", port);
        }
    }
    config->command_ports[config->command_port_count++] = (uint16_t)port;
    return true;
}

static bool
read_config_file(struct config *config, const char *path)
{
    if (config->config_file != NULL) {
        return refuse_argument("two configuration files on the command line: '%s' and '%s'", config->config_file, path);
    }
    config->config_file = strdup(path);
    return config->config_file != NULL || refuse_argument("out of memory");
}

static bool
is_option(const char *argument, const char *brief, const char *full)
{
    return (brief != NULL && strcmp(argument, brief) == 0) || strcmp(argument, full) == 0;
}

/* CONFIG_RUN: go on with the next argument. */
static enum config_outcome
read_argument(struct config *config, char **argument, unsigned *used)
{
    const char *name = argument[0];
    bool is_file = is_option(name, "-c", "--config-file"), is_port = is_option(name, "-p", "--port");

    *used = 1;
    if (is_file || is_port) {
        if (argument[1] == NULL) {
            refuse_argument("%s needs %s after it", name, is_file ? "a file" : "a port");
            return CONFIG_EXIT_ERROR;
        }
        *used = 2;
        bool good = is_file ? read_config_file(config, argument[1]) : read_port(config, argument[1]);
        return good ? CONFIG_RUN : CONFIG_EXIT_ERROR;
    }
    if (is_option(name, "-h", "--help")) {
        print_help();
        return CONFIG_EXIT_OK;
    }
    if (is_option(name, NULL, "--version")) {
        printf("tidewire %s\n", TIDEWIRE_VERSION);
        return CONFIG_EXIT_OK;
    }
    if (is_option(name, "-v", "--verbose")) {
        config->verbose = true;
    } else if (is_option(name, "-d", "--daemon")) {
        config->daemonize = true;
    } else if (is_option(name, NULL, "--test-config")) {
        config->test_only = true;
    } else {
        refuse_argument("unknown argument '%s'", name);
        return CONFIG_EXIT_ERROR;
    }
    return CONFIG_RUN;
}

/* Reads the file that the command line named, if any, and settles the rest. */
static bool
load(struct config *config, char *error, size_t error_size)
{
    struct parser parser;
    parser_init(&parser, config, true, error, error_size);
    bool good = config->config_file == NULL || parser_read_file(&parser, config->config_file);
    good = good && parser_finish(&parser);
    parser_fini(&parser);

    if (good && config->user == NULL && geteuid() == 0 && getpwnam(DEFAULT_USER) != NULL) {
        config->user = strdup(DEFAULT_USER);
    }
    return good;
}

static void
print_warnings(const struct config *config)
{
    for (unsigned i = 0; i < config->warning_count; i++) {
        fprintf(stderr, "Warning: %s\n", config->warnings[i]);
    }
}

enum config_outcome
config_from_arguments(int argc, char **argv, struct config **out)
{
    *out = NULL;
    struct config *config = config_new();
    if (config == NULL) {
        refuse_argument("out of memory");
        return CONFIG_EXIT_ERROR;
    }

    enum config_outcome outcome = CONFIG_RUN;
    unsigned used = 1;
    for (int i = 1; i < argc && outcome == CONFIG_RUN; i += (int)used) {
        outcome = read_argument(config, argv + i, &used);
    }

    char error[1024];
    if (outcome == CONFIG_RUN && !load(config, error, sizeof error)) {
        fprintf(stderr, "Error: %s\n", error);
        outcome = CONFIG_EXIT_ERROR;
    }
    if (outcome != CONFIG_RUN) {
        config_free(&config);
    }
    *out = config;
    return outcome;
}

void
config_tell_valid(const struct config *config)
{
    print_warnings(config);
    printf("The configuration%s%s is valid.\n", config->config_file != NULL ? " in " : "", config->config_file != NULL ? config->config_file : "");
}

/* --------------------------------------------------------------------------------------------------------------- reload */

static bool
same_listeners(const struct config *a, const struct config *b)
{
    if (a->listener_count != b->listener_count) {
        return false;
    }
    for (unsigned i = 0; i < a->listener_count; i++) {
        if (!config_listener_same_address(&a->listeners[i], &b->listeners[i])) {
            return false;
        }
    }
    return true;
}

/* What was changed and cannot change while running is said, not dropped. */
static void
warn_of_restart(const struct config *old, struct config *new, bool listeners_same)
{
    size_t count;
    const struct option *rows = option_rows(&count);
    if (!listeners_same) {
        config_warn(new, "the listeners were changed; that takes a restart");
    }
    for (size_t i = 0; i < count; i++) {
        bool fixed = rows[i].size > 0 && !(rows[i].flags & (OPTION_RELOADS | OPTION_ALIAS));
        if (fixed && !option_same(&rows[i], old, new)) {
            config_warn(new, "option '%s' was changed; that takes a restart", rows[i].name);
        }
    }
}

/* A listener that the new file does not have goes on as it was, with texts of its own: the old configuration does not live as long. */
static bool
keep_gone_listener(struct config_listener *out, const struct config_listener *old, const struct config *new)
{
    bool good = config_listener_copy(out, old);
    out->gone = true;
    out->allow_anonymous = config_settle_anonymous(new, old, true);
    return good;
}

static struct config_listener *
find_listener(struct config *config, const struct config_listener *like)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        struct config_listener *listener = &config->listeners[i];
        if (listener->file != NULL && config_listener_same_address(listener, like)) { /* without a file: taken */
            return listener;
        }
    }
    return NULL;
}

/* The new listeners in the old ones' places, as those are the ones that run. False when out of memory. */
static bool
align_listeners(const struct config *old, struct config *new)
{
    struct config_listener aligned[CONFIG_LISTENERS_MAX];
    bool good = true;
    for (unsigned i = 0; i < old->listener_count; i++) {
        struct config_listener *found = find_listener(new, &old->listeners[i]);
        if (found != NULL) {
            aligned[i] = *found;
            *found = (struct config_listener){0};
        } else {
            good &= keep_gone_listener(&aligned[i], &old->listeners[i], new);
        }
    }
    for (unsigned i = 0; i < new->listener_count; i++) {
        config_listener_fini(&new->listeners[i]);
    }
    memcpy(new->listeners, aligned, old->listener_count * sizeof aligned[0]);
    new->listener_count = old->listener_count;
    return good;
}

struct config *
config_reload(const struct config *old, char *error, size_t error_size)
{
    struct config *config = config_new();
    if (config == NULL || (old->config_file != NULL && (config->config_file = strdup(old->config_file)) == NULL)) {
        config_free(&config);
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    config->verbose = old->verbose;
    config->daemonize = old->daemonize;
    config->command_port_count = old->command_port_count;
    memcpy(config->command_ports, old->command_ports, sizeof config->command_ports);

    if (!load(config, error, error_size)) {
        config_free(&config);
        return NULL;
    }
    if (config->per_listener_settings != old->per_listener_settings) {
        config_free(&config);
        snprintf(error, error_size, "option 'per_listener_settings' was changed; that takes a restart"); /* with the old value the new file means something else */
        return NULL;
    }
    bool same = same_listeners(old, config);
    if (!align_listeners(old, config)) {
        config_free(&config);
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    warn_of_restart(old, config, same);
    return config;
}
