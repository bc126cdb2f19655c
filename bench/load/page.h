/*
 * page: the JSON of a run inside the page that plots it (bench/page/page.html, built into the program).
 *
 * Threads  one. Memory  none.
 */
#ifndef TIDEWIRE_BENCH_LOAD_PAGE_H
#define TIDEWIRE_BENCH_LOAD_PAGE_H

#include <stdio.h>

/* What stands in the template for the data, once. */
#define PAGE_MARKER "/*TIDEWIRE-BENCH-DATA*/null"

/* The template, and where the marker is. */
extern const char page_template[];
extern const char page_template_end[];

void page_write(const char *json, FILE *out);

#endif
