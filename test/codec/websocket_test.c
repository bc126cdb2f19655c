#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "codec/websocket.h"
#include "test/codec/wire.h"

#define ROOM 400000u

/* What a peer would see of a stream of frames: payload, and the control frames in order. */
struct seen {
    uint8_t payload[ROOM];
    uint32_t size;
    char events[64];
    enum websocket_event last;
    uint16_t code;
    uint8_t control[WEBSOCKET_CONTROL_MAX];
    uint32_t control_size;
};

static struct seen seen, other;

static void
note_event(struct seen *out, enum websocket_event event, const struct websocket_result *read)
{
    static const char letters[] = {[WEBSOCKET_PING] = 'i', [WEBSOCKET_PONG] = 'o', [WEBSOCKET_CLOSE] = 'c', [WEBSOCKET_FAILED] = 'f'};
    size_t used = strlen(out->events);
    if (event != WEBSOCKET_NEED_MORE && used + 1 < sizeof out->events) {
        out->events[used] = letters[event];
    }
    out->last = event;
    out->code = read->code;
    if (read->control.size > 0) {
        memcpy(out->control, read->control.data, read->control.size);
        out->control_size = read->control.size;
    }
}

/* Reads a piece against the unreadable page. False once the reader is done for. */
static bool
read_piece(struct websocket_reader *r, struct bytes piece, struct seen *out)
{
    struct bytes copy = guarded(piece);
    uint8_t *at = (uint8_t *)(uintptr_t)copy.data;
    uint32_t left = copy.size;
    do {
        struct websocket_result read;
        enum websocket_event event = websocket_read(r, at, left, &read);
        websocket_reader_check(r);
        assert_true(read.produced <= read.consumed && read.consumed <= left);
        memcpy(out->payload + out->size, at, read.produced);
        out->size += read.produced;
        note_event(out, event, &read);
        at += read.consumed;
        left -= read.consumed;
        if (event == WEBSOCKET_CLOSE || event == WEBSOCKET_FAILED) {
            return false;
        }
        assert_true(event != WEBSOCKET_NEED_MORE || left == 0);
    } while (left > 0);
    return true;
}

/* Reads `input` in pieces of at most `piece` bytes. */
static void
read_all(struct bytes input, uint32_t piece, struct seen *out)
{
    struct websocket_reader r;
    websocket_reader_init(&r);
    memset(out, 0, sizeof *out);
    for (uint32_t at = 0; at < input.size; at += piece) {
        uint32_t size = input.size - at < piece ? input.size - at : piece;
        if (!read_piece(&r, bytes_of(input.data + at, size), out)) {
            return;
        }
    }
}

/* Bytes of `text`, to keep over calls of guarded(). */
static struct bytes
frames(const char *text)
{
    static uint8_t room[4096];
    struct bytes b = wire(text);
    assert_true(b.size <= sizeof room);
    memcpy(room, b.data, b.size);
    return bytes_of(room, b.size);
}

static void
assert_payload(const struct seen *s, const char *expected)
{
    assert_int_equal(s->size, strlen(expected));
    assert_memory_equal(s->payload, expected, s->size);
}

/* A masked frame: returns its size. */
static uint32_t
write_frame(uint8_t *out, uint8_t first, const uint8_t *payload, uint32_t size)
{
    uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t start[WEBSOCKET_HEADER_OUT_MAX];
    uint32_t header = websocket_write_header(start, WEBSOCKET_BINARY, size);
    start[0] = first;
    start[1] |= 0x80;
    memcpy(out, start, header);
    memcpy(out + header, mask, sizeof mask);
    websocket_unmask_portable(out + header + 4, payload, size, mask);
    return header + 4 + size;
}

/* ------------------------------------------------------------------------------------------------------------- valid frames */

/* RFC 6455 5.7: "Hello", with the example's mask, as a binary message. */
CLAIM(the_example_of_the_specification_reads)
{
    read_all(frames("82 85 37fa213d 7f9f4d5158"), ROOM, &seen);
    assert_payload(&seen, "Hello");
    assert_int_equal(seen.last, WEBSOCKET_NEED_MORE);
}

CLAIM(a_packet_may_lie_across_frames_and_several_in_one)
{
    read_all(frames("02 83 00000000 'abc'  00 80 00000000  80 82 00000000 'de'  82 81 00000000 'f'"), ROOM, &seen);
    assert_payload(&seen, "abcdef");
}

CLAIM(control_frames_may_come_inside_a_fragmented_message)
{
    read_all(frames("02 83 00000000 'abc'  89 82 00000000 'hi'  00 81 00000000 'd'  8a 80 00000000  80 81 00000000 'e'"), ROOM, &seen);
    assert_payload(&seen, "abcde");
    assert_string_equal(seen.events, "io");
    assert_int_equal(seen.control_size, 2);
    assert_memory_equal(seen.control, "hi", 2);
}

CLAIM(a_ping_of_125_bytes_comes_back_whole)
{
    static uint8_t payload[WEBSOCKET_CONTROL_MAX], input[256];
    for (uint32_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 7);
    }
    uint32_t size = write_frame(input, 0x89, payload, sizeof payload);
    for (uint32_t piece = 1; piece <= size; piece++) {
        read_all(bytes_of(input, size), piece, &seen);
        assert_string_equal(seen.events, "i");
        assert_int_equal(seen.control_size, sizeof payload);
        assert_memory_equal(seen.control, payload, sizeof payload);
    }
}

CLAIM(close_tells_its_code)
{
    read_all(frames("88 80 00000000"), ROOM, &seen);
    assert_int_equal(seen.last, WEBSOCKET_CLOSE);
    assert_int_equal(seen.code, WEBSOCKET_NO_STATUS);
    read_all(frames("88 85 00000000 03e9 'bye'"), ROOM, &seen);
    assert_int_equal(seen.last, WEBSOCKET_CLOSE);
    assert_int_equal(seen.code, WEBSOCKET_GOING_AWAY);
    read_all(frames("88 82 00000000 0fa0"), ROOM, &seen);
    assert_int_equal(seen.code, 4000);
}

CLAIM(nothing_behind_a_close_frame_is_looked_at)
{
    read_all(frames("82 81 00000000 'a' 88 80 00000000 82 81 00000000 'b'"), ROOM, &seen);
    assert_payload(&seen, "a");
    assert_int_equal(seen.last, WEBSOCKET_CLOSE);
}

CLAIM(every_size_around_a_boundary_survives_any_cutting)
{
    static const uint32_t sizes[] = {0, 1, 15, 16, 17, 125, 126, 127, 65535, 65536, 70000};
    static const uint32_t pieces[] = {1, 2, 3, 7, 13, 14, 15, 4096, ROOM};
    static uint8_t payload[70000], input[2 * 70000 + 64];
    for (uint32_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 31 >> 3);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t size = write_frame(input, 0x82, payload, sizes[i]);
        size += write_frame(input + size, 0x82, payload, sizes[i]);
        for (size_t j = 0; j < sizeof pieces / sizeof pieces[0]; j++) {
            read_all(bytes_of(input, size), pieces[j], &seen);
            assert_int_equal(seen.size, 2 * sizes[i]);
            assert_memory_equal(seen.payload, payload, sizes[i]);
            assert_memory_equal(seen.payload + sizes[i], payload, sizes[i]);
            assert_int_equal(seen.last, WEBSOCKET_NEED_MORE);
        }
    }
}

/* The length of a frame is no promise about a packet's, and nobody allocates it. */
CLAIM(frame_length_is_not_remaining_length)
{
    read_all(frames("82 ff 7fffffffffffffff 00000000 'only this'"), 3, &seen);
    assert_payload(&seen, "only this");
    assert_int_equal(seen.last, WEBSOCKET_NEED_MORE);
}

CLAIM(written_headers_have_the_shortest_form)
{
    static const struct {
        uint64_t size;
        const char *text;
    } headers[] = {{0, "8200"},         {125, "827d"},          {126, "827e007e"}, {65535, "827effff"}, {65536, "827f0000000000010000"},
                   {1ull << 40, "827f0000010000000000"}};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        uint8_t out[WEBSOCKET_HEADER_OUT_MAX];
        uint32_t size = websocket_write_header(out, WEBSOCKET_BINARY, headers[i].size);
        assert_true(bytes_equal(bytes_of(out, size), wire(headers[i].text)));
        assert_int_equal(websocket_header_size(headers[i].size), size);
    }
}

CLAIM(written_close_frames_carry_their_code)
{
    uint8_t out[4];
    uint32_t size = websocket_write_close(out, WEBSOCKET_TOO_BIG);
    assert_true(bytes_equal(bytes_of(out, size), wire("8802 03f1")));
    size = websocket_write_close(out, WEBSOCKET_NO_STATUS);
    assert_true(bytes_equal(bytes_of(out, size), wire("8800")));
}

/* ----------------------------------------------------------------------------------------------------------- refused frames */

static const struct {
    const char *text;
    uint16_t code;
} refused[] = {
    {"82 03 'abc'", WEBSOCKET_PROTOCOL_ERROR},                                /* not masked */
    {"c2 80 00000000", WEBSOCKET_PROTOCOL_ERROR},                             /* reserved bits */
    {"a2 80 00000000", WEBSOCKET_PROTOCOL_ERROR},
    {"92 80 00000000", WEBSOCKET_PROTOCOL_ERROR},
    {"83 80 00000000", WEBSOCKET_PROTOCOL_ERROR},                             /* reserved opcodes */
    {"87 80 00000000", WEBSOCKET_PROTOCOL_ERROR},
    {"8b 80 00000000", WEBSOCKET_PROTOCOL_ERROR},
    {"8f 80 00000000", WEBSOCKET_PROTOCOL_ERROR},
    {"82 fe 007d 00000000", WEBSOCKET_PROTOCOL_ERROR},                        /* lengths that fit into fewer bytes */
    {"82 ff 000000000000ffff 00000000", WEBSOCKET_PROTOCOL_ERROR},
    {"82 ff 8000000000000000 00000000", WEBSOCKET_PROTOCOL_ERROR},            /* the highest bit */
    {"09 80 00000000", WEBSOCKET_PROTOCOL_ERROR},                             /* control frames are whole and short */
    {"89 fe 0080 00000000", WEBSOCKET_PROTOCOL_ERROR},
    {"80 80 00000000", WEBSOCKET_PROTOCOL_ERROR},                             /* continues nothing */
    {"02 80 00000000 82 80 00000000", WEBSOCKET_PROTOCOL_ERROR},              /* a message inside another */
    {"81 81 00000000 'a'", WEBSOCKET_UNSUPPORTED},                            /* text */
    {"01 81 00000000 'a'", WEBSOCKET_UNSUPPORTED},
    {"88 81 00000000 03", WEBSOCKET_PROTOCOL_ERROR},                          /* half a code */
    {"88 82 00000000 03ed", WEBSOCKET_PROTOCOL_ERROR},                        /* 1005, which is for nobody to send */
    {"88 82 00000000 03ee", WEBSOCKET_PROTOCOL_ERROR},
    {"88 82 00000000 03f7", WEBSOCKET_PROTOCOL_ERROR},                        /* 1015 */
    {"88 82 00000000 03e7", WEBSOCKET_PROTOCOL_ERROR},                        /* 999 */
    {"88 82 00000000 1388", WEBSOCKET_PROTOCOL_ERROR},                        /* 5000 */
    {"88 83 00000000 03e8 ff", WEBSOCKET_BAD_DATA},                           /* no UTF-8 */
};

CLAIM(what_the_specification_forbids_ends_the_connection)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        for (uint32_t piece = 1; piece <= 16; piece++) {
            read_all(frames(refused[i].text), piece, &seen);
            assert_int_equal(seen.last, WEBSOCKET_FAILED);
            assert_int_equal(seen.code, refused[i].code);
        }
    }
}

CLAIM(payload_before_a_bad_frame_is_good)
{
    read_all(frames("82 82 00000000 'ok' 83 80 00000000"), ROOM, &seen);
    assert_payload(&seen, "ok");
    assert_int_equal(seen.last, WEBSOCKET_FAILED);
}

/* ------------------------------------------------------------------------------------------- every prefix, every mutation */

static const char conversation[] = "82 85 37fa213d 7f9f4d5158  89 83 01020304 606162  02 82 0a0b0c0d 6b6a  8a 80 00000000  80 fe 0080 01010101 "
                                   "6161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
                                   "6161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
                                   "61616161616161616161616161616161  88 82 00000000 03e8";

CLAIM(every_prefix_of_a_conversation_needs_more)
{
    struct bytes all = frames(conversation);
    for (uint32_t size = 0; size < all.size; size++) {
        read_all(bytes_of(all.data, size), ROOM, &seen);
        assert_true(seen.last == WEBSOCKET_NEED_MORE || seen.last == WEBSOCKET_PING || seen.last == WEBSOCKET_PONG);
    }
    read_all(all, ROOM, &seen);
    assert_int_equal(seen.last, WEBSOCKET_CLOSE);
}

CLAIM(every_mutation_is_answered_the_same_in_one_piece_and_in_many)
{
    static uint8_t mutated[4096];
    struct bytes all = frames(conversation);
    for (uint32_t at = 0; at < all.size; at++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(mutated, all.data, all.size);
            mutated[at] = (uint8_t)value;
            read_all(bytes_of(mutated, all.size), ROOM, &seen);
            read_all(bytes_of(mutated, all.size), 5, &other);
            assert_int_equal(seen.size, other.size);
            assert_memory_equal(seen.payload, other.payload, seen.size);
            assert_string_equal(seen.events, other.events);
            assert_int_equal(seen.code, other.code);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------- unmasking */

CLAIM(unmasking_is_its_portable_twin_at_any_place_and_distance)
{
    static uint8_t source[600], fast[600], slow[600];
    srand(11);
    for (uint32_t size = 0; size < 300; size++) {
        for (uint32_t distance = 0; distance < 40; distance += 1 + distance / 8) {
            uint8_t mask[4] = {(uint8_t)rand(), (uint8_t)rand(), (uint8_t)rand(), (uint8_t)rand()};
            uint8_t mask_too[4];
            memcpy(mask_too, mask, sizeof mask);
            for (uint32_t i = 0; i < sizeof source; i++) {
                source[i] = (uint8_t)rand();
            }
            memcpy(fast, source, sizeof fast);
            memcpy(slow, source, sizeof slow);
            websocket_unmask(fast, fast + distance, size, mask);
            websocket_unmask_portable(slow, slow + distance, size, mask_too);
            assert_memory_equal(fast, slow, sizeof fast);
            assert_memory_equal(mask, mask_too, sizeof mask);
        }
    }
}

CLAIM(unmasking_reads_and_writes_nothing_past_its_end)
{
    for (uint32_t size = 0; size < 70; size++) {
        static const uint8_t zeros[70];
        uint8_t mask[4] = {1, 2, 3, 4};
        uint8_t *at = (uint8_t *)(uintptr_t)guarded(bytes_of(zeros, size)).data;
        websocket_unmask(at, at, size, mask);
        for (uint32_t i = 0; i < size; i++) {
            assert_int_equal(at[i], i % 4 + 1);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_specification_reads),
        cmocka_unit_test(a_packet_may_lie_across_frames_and_several_in_one),
        cmocka_unit_test(control_frames_may_come_inside_a_fragmented_message),
        cmocka_unit_test(a_ping_of_125_bytes_comes_back_whole),
        cmocka_unit_test(close_tells_its_code),
        cmocka_unit_test(nothing_behind_a_close_frame_is_looked_at),
        cmocka_unit_test(every_size_around_a_boundary_survives_any_cutting),
        cmocka_unit_test(frame_length_is_not_remaining_length),
        cmocka_unit_test(written_headers_have_the_shortest_form),
        cmocka_unit_test(written_close_frames_carry_their_code),
        cmocka_unit_test(what_the_specification_forbids_ends_the_connection),
        cmocka_unit_test(payload_before_a_bad_frame_is_good),
        cmocka_unit_test(every_prefix_of_a_conversation_needs_more),
        cmocka_unit_test(every_mutation_is_answered_the_same_in_one_piece_and_in_many),
        cmocka_unit_test(unmasking_is_its_portable_twin_at_any_place_and_distance),
        cmocka_unit_test(unmasking_reads_and_writes_nothing_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
