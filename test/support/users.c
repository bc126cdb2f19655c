#include "test/support/users.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RELOADS_MAX 64

static char path[] = "/tmp/tidewire-users.XXXXXX";
static struct config *configs[RELOADS_MAX];
static unsigned config_count;

void
users_open(void)
{
    int file = mkstemp(path);
    assert(file >= 0);
    close(file);
}

void
users_close(void)
{
    unlink(path);
    while (config_count > 0) {
        config_free(&configs[--config_count]);
    }
}

const char *
users_path(void)
{
    return path;
}

void
users_clear(void)
{
    FILE *file = fopen(path, "w");
    assert(file != NULL);
    fclose(file);
}

void
users_add_text(const char *text)
{
    FILE *file = fopen(path, "a");
    assert(file != NULL);
    fputs(text, file);
    fclose(file);
}

void
users_add(const char *user, enum password_kind kind, const char *secret)
{
    struct password password;
    char text[PASSWORD_TEXT_MAX], line[PASSWORD_TEXT_MAX + 300];
    bool made = password_make(&password, kind, 3, bytes_of(secret, (uint32_t)strlen(secret)));
    assert(made);
    (void)made;
    password_write(&password, text);
    snprintf(line, sizeof line, "%s:%s\n", user, text);
    users_add_text(line);
}

const char *
users_reload(struct world *world, const char *options)
{
    static char error[512];
    const struct config *config = world->config;
    error[0] = '\0';
    if (options != NULL) {
        char text[8192];
        int size = snprintf(text, sizeof text, "listener %d 127.0.0.1\nallow_anonymous true\nshards %u\nsys_interval 0\nlog_dest none\n%s\n", WORLD_PORT,
                            world->broker->shard_count, options);
        assert(config_count < RELOADS_MAX);
        configs[config_count] = config_parse_text(text, (size_t)size, "reload", false, error, sizeof error);
        if (configs[config_count] == NULL) {
            return error;
        }
        config = configs[config_count++];
    }
    broker_reload(world->broker, config, error, sizeof error);
    world_settle(world);
    return error;
}
