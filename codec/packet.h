/*
 * packet: the 15 control packets of MQTT 3.1, 3.1.1 and 5.0 as C structures.
 *
 * All bytes inside are borrowed: from the receive buffer after decoding, from the caller when encoding. Nothing here
 * allocates. One set of structures serves both directions and all versions; fields that a version does not have are
 * zero after decoding and ignored when encoding.
 */
#ifndef TIDEWIRE_CODEC_PACKET_H
#define TIDEWIRE_CODEC_PACKET_H

#include "codec/bytes.h"
#include "codec/reason.h"

/* The protocol level byte of CONNECT. */
enum mqtt_version {
    MQTT_VERSION_31 = 3,
    MQTT_VERSION_311 = 4,
    MQTT_VERSION_5 = 5,
};

enum packet_type {
    PACKET_CONNECT = 1,
    PACKET_CONNACK = 2,
    PACKET_PUBLISH = 3,
    PACKET_PUBACK = 4,
    PACKET_PUBREC = 5,
    PACKET_PUBREL = 6,
    PACKET_PUBCOMP = 7,
    PACKET_SUBSCRIBE = 8,
    PACKET_SUBACK = 9,
    PACKET_UNSUBSCRIBE = 10,
    PACKET_UNSUBACK = 11,
    PACKET_PINGREQ = 12,
    PACKET_PINGRESP = 13,
    PACKET_DISCONNECT = 14,
    PACKET_AUTH = 15,
};

/* Who sent the bytes: some packets, properties and reason codes are allowed in one direction only. */
enum packet_sender {
    PACKET_FROM_CLIENT,
    PACKET_FROM_SERVER,
};

/* Property identifiers, MQTT5 2.2.2.2. */
enum property {
    PROPERTY_PAYLOAD_FORMAT_INDICATOR = 0x01,
    PROPERTY_MESSAGE_EXPIRY_INTERVAL = 0x02,
    PROPERTY_CONTENT_TYPE = 0x03,
    PROPERTY_RESPONSE_TOPIC = 0x08,
    PROPERTY_CORRELATION_DATA = 0x09,
    PROPERTY_SUBSCRIPTION_IDENTIFIER = 0x0B,
    PROPERTY_SESSION_EXPIRY_INTERVAL = 0x11,
    PROPERTY_ASSIGNED_CLIENT_IDENTIFIER = 0x12,
    PROPERTY_SERVER_KEEP_ALIVE = 0x13,
    PROPERTY_AUTHENTICATION_METHOD = 0x15,
    PROPERTY_AUTHENTICATION_DATA = 0x16,
    PROPERTY_REQUEST_PROBLEM_INFORMATION = 0x17,
    PROPERTY_WILL_DELAY_INTERVAL = 0x18,
    PROPERTY_REQUEST_RESPONSE_INFORMATION = 0x19,
    PROPERTY_RESPONSE_INFORMATION = 0x1A,
    PROPERTY_SERVER_REFERENCE = 0x1C,
    PROPERTY_REASON_STRING = 0x1F,
    PROPERTY_RECEIVE_MAXIMUM = 0x21,
    PROPERTY_TOPIC_ALIAS_MAXIMUM = 0x22,
    PROPERTY_TOPIC_ALIAS = 0x23,
    PROPERTY_MAXIMUM_QOS = 0x24,
    PROPERTY_RETAIN_AVAILABLE = 0x25,
    PROPERTY_USER_PROPERTY = 0x26,
    PROPERTY_MAXIMUM_PACKET_SIZE = 0x27,
    PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28,
    PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29,
    PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE = 0x2A,
};

/* User properties and subscription identifiers that one packet may carry together; more is Quota exceeded (0x97)... the
 * work per packet stays linear whatever a peer sends (CVE-2021-41039 was quadratic here). */
#define PACKET_PROPERTIES_MAX 1024u

/*
 * The properties of one packet (or will). A field is meaningful only if properties_has() says so; decoding leaves the
 * others untouched. User properties and subscription identifiers can repeat: they stay in `raw`, in their order.
 */
struct properties {
    uint64_t present;           /* bit per property identifier */
    struct bytes raw;           /* the property block without its length; empty if none */
    uint32_t user_count;        /* user properties in `raw` */
    uint32_t subscription_id_count;
    uint32_t subscription_id;   /* the first one */
    uint32_t message_expiry_s;
    uint32_t session_expiry_s;
    uint32_t will_delay_s;
    uint32_t maximum_packet_size;
    uint16_t server_keep_alive_s;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t topic_alias;
    uint8_t payload_format;
    uint8_t request_problem_information;
    uint8_t request_response_information;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_subscription_available;
    uint8_t subscription_id_available;
    uint8_t shared_subscription_available;
    struct bytes content_type;
    struct bytes response_topic;
    struct bytes correlation_data;
    struct bytes assigned_client_id;
    struct bytes authentication_method;
    struct bytes authentication_data;
    struct bytes response_information;
    struct bytes server_reference;
    struct bytes reason_string;
};

static inline bool
properties_has(const struct properties *p, enum property which)
{
    return (p->present >> which) & 1;
}

static inline void
properties_mark(struct properties *p, enum property which)
{
    p->present |= UINT64_C(1) << which;
}

/* One property as it stands in a block: identifier, and all its bytes including the identifier. */
struct property_item {
    uint8_t id;
    struct bytes whole;          /* identifier and value, as on the wire */
    struct bytes name, value;    /* PROPERTY_USER_PROPERTY: the pair; other strings and binary: `value` */
    uint32_t number;             /* integers of any width */
};

/* Walks a block that decoding has already accepted. False at its end. */
bool property_next(struct reader *block, struct property_item *out);

struct will {
    struct properties properties;
    struct bytes topic;
    struct bytes payload;
    uint8_t qos;
    bool retain;
};

struct connect {
    uint8_t version; /* enum mqtt_version */
    bool bridge;     /* the level byte's top bit, as Mosquitto's bridges set it with versions 3 and 4 */
    bool clean_start;
    bool has_will, has_user_name, has_password;
    uint16_t keep_alive_s;
    struct properties properties;
    struct bytes client_id;
    struct bytes user_name;
    struct bytes password;
    struct will will;
};

struct connack {
    bool session_present;
    uint8_t reason;
    struct properties properties;
};

struct publish {
    struct bytes topic;   /* empty only with a topic alias (version 5) */
    struct bytes payload;
    uint16_t packet_id;   /* 0 with QoS 0 */
    uint8_t qos;
    bool dup;
    bool retain;
    struct properties properties;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct ack {
    uint16_t packet_id;
    uint8_t reason;
    struct properties properties;
};

/* Subscription Options, MQTT5 3.8.3.1. In versions 3.x only `qos` is given. */
struct subscription_options {
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling; /* 0 send, 1 send if new, 2 do not send */
};

struct subscribe {
    uint16_t packet_id;
    uint32_t count;        /* filters, at least 1 */
    struct bytes entries;  /* walk with subscribe_next() */
    struct properties properties;
};

struct unsubscribe {
    uint16_t packet_id;
    uint32_t count;
    struct bytes entries;  /* walk with unsubscribe_next() */
    struct properties properties;
};

/* SUBACK, UNSUBACK: one code per filter (none in an UNSUBACK of versions 3.x). */
struct suback {
    uint16_t packet_id;
    struct bytes codes;
    struct properties properties;
};

/* DISCONNECT, AUTH. */
struct disconnect {
    uint8_t reason;
    struct properties properties;
};

struct packet {
    uint8_t type; /* enum packet_type */
    union {
        struct connect connect;
        struct connack connack;
        struct publish publish;
        struct ack ack;
        struct subscribe subscribe;
        struct unsubscribe unsubscribe;
        struct suback suback;
        struct disconnect disconnect;
    };
};

#endif
