#include "engine/durable/body_places.h"

#include <stdlib.h>

struct body_entry {
    uint32_t number; /* above the run's */
    uint32_t offset, size;
};

struct body_run {
    uint64_t segment, position, number; /* of the first one */
    struct body_entry *entries;
    uint32_t count, room;
};

void
body_places_init(struct body_places *p, struct budget_account *account)
{
    *p = (struct body_places){.account = account};
}

void
body_places_fini(struct body_places *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        budget_refund(p->account, p->runs[i].room * sizeof *p->runs[i].entries);
        free(p->runs[i].entries);
    }
    budget_refund(p->account, p->room * sizeof *p->runs);
    free(p->runs);
    body_places_init(p, p->account);
}

/* `things` with room for more of `size` bytes each, or NULL. */
static void *
grow(struct body_places *p, void *things, uint32_t *room, size_t size)
{
    uint32_t more = *room > 0 ? *room * 2 : 4;
    void *grown = realloc(things, more * size);
    if (grown != NULL) {
        budget_charge(p->account, (more - *room) * size);
        *room = more;
    }
    return grown;
}

static uint64_t
last_of(const struct body_run *run)
{
    return run->number + run->entries[run->count - 1].number;
}

static bool
continues(const struct body_run *run, uint64_t number, const struct journal_record *record)
{
    return run->count > 0 && run->segment == record->place.segment && number > last_of(run) && number - run->number <= UINT32_MAX;
}

static struct body_run *
begin_run(struct body_places *p, uint64_t number, const struct journal_record *record)
{
    if (p->count == p->room) {
        struct body_run *runs = grow(p, p->runs, &p->room, sizeof *runs);
        if (runs == NULL) {
            return NULL;
        }
        p->runs = runs;
    }
    struct body_run *run = &p->runs[p->count++];
    *run = (struct body_run){.segment = record->place.segment, .position = record->position, .number = number};
    return run;
}

bool
body_places_add(struct body_places *p, uint64_t number, const struct journal_record *record)
{
    struct body_run *run = p->count > 0 ? &p->runs[p->count - 1] : NULL;
    if (run != NULL && run->count > 0 && number == last_of(run)) {
        return true; /* a conversion writes it alone, then with whom it is owed to */
    }
    if (run == NULL || !continues(run, number, record)) {
        run = begin_run(p, number, record);
    }
    if (run != NULL && run->count == run->room) {
        struct body_entry *entries = grow(p, run->entries, &run->room, sizeof *entries);
        run->entries = entries != NULL ? entries : run->entries;
        run = entries != NULL ? run : NULL;
    }
    if (run == NULL) {
        return false;
    }
    run->entries[run->count++] = (struct body_entry){(uint32_t)(number - run->number), record->place.offset, record->content.size};
    return true;
}

static const struct body_entry *
find_in(const struct body_run *run, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run->number + run->entries[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < run->count && run->number + run->entries[low].number == number ? &run->entries[low] : NULL;
}

bool
body_places_find(const struct body_places *p, uint64_t number, struct body_place *out)
{
    for (uint32_t i = p->count; i-- > 0;) {
        const struct body_run *run = &p->runs[i];
        const struct body_entry *entry = run->number <= number ? find_in(run, number) : NULL;
        if (entry != NULL) {
            *out = (struct body_place){.position = run->position, .place = {run->segment, entry->offset}, .size = entry->size};
            return true;
        }
    }
    return false;
}
