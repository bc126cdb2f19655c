#include "bench/load/page.h"

#include <assert.h>
#include <string.h>

/* Built in, so that the program is one file. The assembler reads it when this file is compiled. */
__asm__(".section .rodata\n"
        ".globl page_template\n"
        "page_template:\n"
        ".incbin \"" PAGE_TEMPLATE_PATH "\"\n"
        ".globl page_template_end\n"
        "page_template_end:\n"
        ".byte 0\n"
        ".previous\n");

/* Inside a script the data must not end it, nor open a comment that hides its end: JSON reads "\u003c" as "<". */
static void
write_script_data(const char *json, FILE *out)
{
    for (const char *at = json; *at != '\0'; at++) {
        if (*at == '<') {
            fputs("\\u003c", out);
        } else {
            fputc(*at, out);
        }
    }
}

void
page_write(const char *json, FILE *out)
{
    const char *marker = strstr(page_template, PAGE_MARKER);
    assert(marker != NULL); /* test/bench/page_data_test.c */
    const char *rest = marker + strlen(PAGE_MARKER);

    fwrite(page_template, 1, (size_t)(marker - page_template), out);
    write_script_data(json, out);
    fwrite(rest, 1, (size_t)(page_template_end - rest), out);
}
