/* All layers at once: a PROXY header, TLS inside of the connection that it speaks of, and a WebSocket inside of that. */
#include "test/dialogue/speaker.h"

#include "codec/websocket.h"
#include "test/support/pki.h"

#define REQUEST                                                                                                                                   \
    "GET /mqtt HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"              \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
#define LINE "PROXY TCP4 203.0.113.7 192.0.2.1 51234 8883\r\n"

/* Filled in by main(): where the certificate lies is not known before. */
static char options[1024], options_behind_proxy[1100];

static void
say_bytes(struct speaker *s, const void *bytes, uint32_t size)
{
    tls_client_write(s->tls, bytes, size);
    send_waiting(s);
}

static void
say_frame(struct speaker *s, uint8_t first, const void *payload, uint32_t size)
{
    uint8_t frame[512] = {first, (uint8_t)(0x80 | size)}; /* a mask of zeros changes nothing */
    claim(size < 126);
    memcpy(frame + 6, payload, size);
    say_bytes(s, frame, 6 + size);
}

/* All that has come. */
static uint32_t
hear_all(struct speaker *s, uint8_t *out, uint32_t room)
{
    uint32_t used = 0, size;
    take_arrived(s);
    while ((size = tls_client_read(s->tls, out + used, room - used)) > 0) {
        used += size;
    }
    return used;
}

static struct speaker
arrive(struct world *w, const char *line)
{
    static const struct tls_client_options any = {.version = 0};
    struct speaker s = {meet(w, 5), tls_client_open(&any)};
    client_send_raw(s.c, line, (uint32_t)strlen(line));
    shake_hands(&s);
    return s;
}

/* Up to CONNACK. */
static struct speaker
come(struct world *w, const char *line, const char *id)
{
    uint8_t bytes[1024];
    struct speaker s = arrive(w, line);
    say_bytes(&s, REQUEST, sizeof REQUEST - 1);
    uint32_t size = hear_all(&s, bytes, sizeof bytes);
    claim(size > 12 && memcmp(bytes, "HTTP/1.1 101", 12) == 0);
    struct packet p = {.type = PACKET_CONNECT, .connect = {.version = 5, .clean_start = true, .client_id = bytes_from(id)}};
    uint8_t packet[128];
    say_frame(&s, 0x82, packet, encode_packet(packet, sizeof packet, 5, &p));
    claim(hear_all(&s, bytes, sizeof bytes) > 2 && bytes[0] == 0x82 && bytes[2] == 0x20);
    return s;
}

static void
messages_go_through_all_layers(struct world *w)
{
    for (unsigned shard = 0; shard < w->broker->shard_count; shard++) {
        uint8_t bytes[1024];
        struct speaker s = come(w, LINE, id_at(w, shard, 0));
        say_frame(&s, 0x82, "\x82\x07\x00\x01\x00\x00\x01\x61\x00", 9);
        claim(hear_all(&s, bytes, sizeof bytes) > 2 && bytes[2] == 0x90);
        say_frame(&s, 0x82, "\x30\x05\x00\x01\x61\x00\x78", 7);
        claim(hear_all(&s, bytes, sizeof bytes) == 9 && bytes[2] == 0x30);
        hush(&s);
    }
}

static void
a_close_frame_is_answered_before_tls_ends(struct world *w)
{
    uint8_t bytes[1024];
    struct speaker s = come(w, "", "c");
    say_frame(&s, 0x88, "\x03\xe8", 2);
    claim(hear_all(&s, bytes, sizeof bytes) == 4 && memcmp(bytes, "\x88\x02\x03\xe8", 4) == 0);
    claim(tls_client_ended(s.tls));
    claim(sim_finished(w->sim, s.c->connection));
    hush(&s);
}

/* A pong that is due while a send is under way goes out when that is done, though nothing else is to be sent. */
static void
a_pong_does_not_wait_for_other_output(struct world *w)
{
    static uint8_t bytes[1 << 20];
    struct speaker s = come(w, "", "c");
    say_frame(&s, 0x82, "\x82\x07\x00\x01\x00\x00\x01\x61\x00", 9);
    claim(hear_all(&s, bytes, sizeof bytes) > 2);
    sim_set_stuck(w->sim, s.c->connection, true);
    uint8_t packet[200000] = {0x30, 0xbb, 0x9a, 0x0c, 0x00, 0x01, 0x61, 0x00}; /* 200 000 bytes, which come back and fill the network */
    uint8_t header[14] = {0x82, 0xff, 0, 0, 0, 0, 0, 0x03, 0x0d, 0x3f};
    tls_client_write(s.tls, header, sizeof header);
    tls_client_write(s.tls, packet, 199999);
    send_waiting(&s);
    world_settle(w);
    say_frame(&s, 0x89, "late", 4);
    world_settle(w);
    sim_set_stuck(w->sim, s.c->connection, false);
    uint32_t size = hear_all(&s, bytes, sizeof bytes);
    claim(size > 190000);
    claim(memcmp(bytes + size - 6, "\x8a\x04late", 6) == 0);
    hush(&s);
}

static void
a_flood_of_pings_does_not_fill_memory(struct world *w)
{
    uint8_t payload[100] = {0};
    struct speaker s = come(w, "", "c");
    sim_set_stuck(w->sim, s.c->connection, true);
    for (int i = 0; i < 10000; i++) {
        say_frame(&s, 0x89, payload, sizeof payload);
        if (i % 500 == 0) {
            world_settle(w);
        }
    }
    world_settle(w);
    claim(world_charged_bytes(w) < 1 << 20);
    hush(&s);
}

static void
http_outside_of_tls_gets_no_answer_of_http(struct world *w)
{
    struct client *c = meet(w, 5);
    client_ask_upgrade(c, NULL);
    world_settle(w);
    client_pull(c);
    claim_equal(c->web->status, 0);
    claim(sim_finished(w->sim, c->connection));
}

int
main(int argc, char **argv)
{
    const struct dialogue dialogues[] = {
        TELL_WITH(messages_go_through_all_layers, options_behind_proxy),
        TELL_WITH(a_close_frame_is_answered_before_tls_ends, options),
        TELL_WITH(a_pong_does_not_wait_for_other_output, options),
        TELL_WITH(a_flood_of_pings_does_not_fill_memory, options),
        TELL_WITH(http_outside_of_tls_gets_no_answer_of_http, options),
    };
    struct pki *pki = pki_open();
    pki_issue(pki, &(struct pki_wish){.file = "server", .common_name = "broker", .host = "localhost"});
    snprintf(options, sizeof options, "protocol websockets\ncertfile %s\nkeyfile %s\n", pki_path(pki, "server.pem"), pki_path(pki, "server.key"));
    snprintf(options_behind_proxy, sizeof options_behind_proxy, "enable_proxy_protocol 1\n%s", options);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof *dialogues, argc, argv);
    pki_close(&pki);
    return failed;
}
