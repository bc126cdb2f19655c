#include "bench/load/json.h"

#include <inttypes.h>
#include <math.h>

void
json_write_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at);
        } else if ((unsigned char)*at < 0x20) {
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*at);
        } else {
            fputc(*at, out);
        }
    }
    fputc('"', out);
}

void
json_string(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\"%s\":", name);
    json_write_string(out, text);
}

void
json_integer(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, ",\"%s\":%" PRIu64, name, value);
}

void
json_bool(FILE *out, const char *name, bool value)
{
    fprintf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

void
json_number(FILE *out, const char *name, bool known, double value)
{
    if (known && isfinite(value)) {
        fprintf(out, ",\"%s\":%.3f", name, value);
    } else {
        fprintf(out, ",\"%s\":null", name);
    }
}
