#include "bench/load/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/page.h"

static bool
complain(const char *option, const char *path)
{
    fprintf(stderr, "tidewire-bench: %s %s: %s\n", option, path, strerror(errno));
    return false;
}

static bool
finish_file(FILE *out, const char *option, const char *path)
{
    bool failed = fflush(out) != 0 || ferror(out);
    if (out != stdout) {
        failed |= fclose(out) != 0;
    }
    return failed ? complain(option, path) : true;
}

static bool
write_json_file(const char *json, const char *path)
{
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(path, "w");

    if (out == NULL) {
        return complain("--json", path);
    }
    fprintf(out, "%s\n", json);
    return finish_file(out, "--json", path);
}

static bool
write_html_file(const char *json, const char *path)
{
    FILE *out = fopen(path, "w");

    if (out == NULL) {
        return complain("--html", path);
    }
    page_write(json, out);
    return finish_file(out, "--html", path);
}

static char *
make_json(const struct result *r, const struct figures *f)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        return NULL;
    }
    report_write_json(r, f, out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

bool
report_write(const struct result *r)
{
    const struct options *o = r->options;
    struct figures f = figures_compute(r);
    char *json = make_json(r, &f);

    report_print_table(r, &f, o->json != NULL && strcmp(o->json, "-") == 0 ? stderr : stdout);
    if (json == NULL) {
        fprintf(stderr, "tidewire-bench: no memory for the report\n");
        return false;
    }
    bool good = o->json == NULL || write_json_file(json, o->json);
    good &= o->html == NULL || write_html_file(json, o->html);
    free(json);
    return good;
}
