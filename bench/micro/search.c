#define XXH_INLINE_ALL
#include "bench/micro/search.h"

#include "router/filter_match.h"

#include <stdlib.h>
#include <xxhash.h>

struct search_run {
    const struct filter_index *index;
    struct filter_view view;
    struct filter_found found;
};

struct search_run *
search_open(const struct filter_index *index)
{
    struct search_run *run = calloc(1, sizeof *run);
    if (run != NULL) {
        run->index = index;
        run->view = filter_index_view(index);
        filter_found_grow(&run->found);
    }
    return run;
}

uint32_t
search_topic(struct search_run *run, struct bytes topic)
{
    uint64_t hash = XXH3_64bits_withSecret(topic.data, topic.size, run->view.secret, FILTER_HASH_SECRET_BYTES);
    filter_index_match(run->index, topic, hash, &run->found);
    return run->found.count;
}

void
search_close(struct search_run **run)
{
    if (*run != NULL) {
        free((*run)->found.ids);
    }
    free(*run);
    *run = NULL;
}
