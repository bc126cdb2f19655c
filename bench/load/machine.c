#include "bench/load/machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char *
read_model(FILE *f, char *line, int room)
{
    while (fgets(line, room, f) != NULL) {
        char *colon = strchr(line, ':');
        if (colon != NULL && strncmp(line, "model name", 10) == 0) {
            line[strcspn(line, "\n")] = '\0';
            return colon + 1 + strspn(colon + 1, " ");
        }
    }
    return NULL;
}

void
machine_write_processor(char *out, size_t room)
{
    char line[256];
    struct utsname names;
    FILE *f = fopen("/proc/cpuinfo", "r");
    const char *model = f == NULL ? NULL : read_model(f, line, sizeof line);

    if (f != NULL) {
        fclose(f);
    }
    uname(&names);
    snprintf(out, room, "%s", model != NULL ? model : names.machine);
}

void
machine_write_kernel(char *out, size_t room)
{
    struct utsname names;
    uname(&names);
    snprintf(out, room, "%s", names.release);
}

void
machine_write_time(char *out, size_t room)
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, room, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

uint32_t
machine_count_cores(void)
{
    return (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
}
