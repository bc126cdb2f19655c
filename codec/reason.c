#include "codec/reason.h"

const char *
reason_name(uint8_t reason)
{
    switch (reason) {
    case REASON_SUCCESS:
        return "Success";
    case REASON_GRANTED_QOS_1:
        return "Granted QoS 1";
    case REASON_GRANTED_QOS_2:
        return "Granted QoS 2";
    case REASON_DISCONNECT_WITH_WILL:
        return "Disconnect with Will Message";
    case REASON_NO_MATCHING_SUBSCRIBERS:
        return "No matching subscribers";
    case REASON_NO_SUBSCRIPTION_EXISTED:
        return "No subscription existed";
    case REASON_CONTINUE_AUTHENTICATION:
        return "Continue authentication";
    case REASON_REAUTHENTICATE:
        return "Re-authenticate";
    case REASON_UNSPECIFIED_ERROR:
        return "Unspecified error";
    case REASON_MALFORMED_PACKET:
        return "Malformed Packet";
    case REASON_PROTOCOL_ERROR:
        return "Protocol Error";
    case REASON_IMPLEMENTATION_SPECIFIC_ERROR:
        return "Implementation specific error";
    case REASON_UNSUPPORTED_PROTOCOL_VERSION:
        return "Unsupported Protocol Version";
    case REASON_CLIENT_IDENTIFIER_NOT_VALID:
        return "Client Identifier not valid";
    case REASON_BAD_USER_NAME_OR_PASSWORD:
        return "Bad User Name or Password";
    case REASON_NOT_AUTHORIZED:
        return "Not authorized";
    case REASON_SERVER_UNAVAILABLE:
        return "Server unavailable";
    case REASON_SERVER_BUSY:
        return "Server busy";
    case REASON_BANNED:
        return "Banned";
    case REASON_SERVER_SHUTTING_DOWN:
        return "Server shutting down";
    case REASON_BAD_AUTHENTICATION_METHOD:
        return "Bad authentication method";
    case REASON_KEEP_ALIVE_TIMEOUT:
        return "Keep Alive timeout";
    case REASON_SESSION_TAKEN_OVER:
        return "Session taken over";
    case REASON_TOPIC_FILTER_INVALID:
        return "Topic Filter invalid";
    case REASON_TOPIC_NAME_INVALID:
        return "Topic Name invalid";
    case REASON_PACKET_IDENTIFIER_IN_USE:
        return "Packet Identifier in use";
    case REASON_PACKET_IDENTIFIER_NOT_FOUND:
        return "Packet Identifier not found";
    case REASON_RECEIVE_MAXIMUM_EXCEEDED:
        return "Receive Maximum exceeded";
    case REASON_TOPIC_ALIAS_INVALID:
        return "Topic Alias invalid";
    case REASON_PACKET_TOO_LARGE:
        return "Packet too large";
    case REASON_MESSAGE_RATE_TOO_HIGH:
        return "Message rate too high";
    case REASON_QUOTA_EXCEEDED:
        return "Quota exceeded";
    case REASON_ADMINISTRATIVE_ACTION:
        return "Administrative action";
    case REASON_PAYLOAD_FORMAT_INVALID:
        return "Payload format invalid";
    case REASON_RETAIN_NOT_SUPPORTED:
        return "Retain not supported";
    case REASON_QOS_NOT_SUPPORTED:
        return "QoS not supported";
    case REASON_USE_ANOTHER_SERVER:
        return "Use another server";
    case REASON_SERVER_MOVED:
        return "Server moved";
    case REASON_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED:
        return "Shared Subscriptions not supported";
    case REASON_CONNECTION_RATE_EXCEEDED:
        return "Connection rate exceeded";
    case REASON_MAXIMUM_CONNECT_TIME:
        return "Maximum connect time";
    case REASON_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED:
        return "Subscription Identifiers not supported";
    case REASON_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED:
        return "Wildcard Subscriptions not supported";
    default:
        return "Unknown reason code";
    }
}

uint8_t
reason_to_return_code(uint8_t reason)
{
    if (reason < REASON_UNSPECIFIED_ERROR) {
        return 0; /* Connection accepted */
    }
    switch (reason) {
    case REASON_UNSUPPORTED_PROTOCOL_VERSION:
        return 1; /* unacceptable protocol version */
    case REASON_CLIENT_IDENTIFIER_NOT_VALID:
        return 2; /* identifier rejected */
    case REASON_BAD_USER_NAME_OR_PASSWORD:
        return 4; /* bad user name or password */
    case REASON_NOT_AUTHORIZED:
    case REASON_BANNED:
    case REASON_BAD_AUTHENTICATION_METHOD:
    case REASON_TOPIC_NAME_INVALID: /* of the will: this client will not get in by trying again, as 3 would suggest */
        return 5;                   /* not authorized */
    default:
        return 3; /* server unavailable */
    }
}
