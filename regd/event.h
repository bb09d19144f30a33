/* The events of okd-regd, which systemd/okd-regd.catalog explains. */
#pragma once

#define EVENT_FIRST_USER "aa379053981d4cea9507b2ee945db9b0"
#define EVENT_CERTIFICATE "01b16f3d76ec43a8959a333744c88537"
#define EVENT_DAMAGED "584dca8d0c6044ca97f3b870e9c40b62"
#define EVENT_WRONG_PASSWORD "cd08add32c004364a73eb95a00cb0c99"
#define EVENT_WRONG_DIGEST "64ed4d6d44b048b98d7abf3561893cf9"
#define EVENT_COLLECTED "12ca1ffed6f943cdb743110894c12f46"
#define EVENT_NOT_RENEWED "ab3001c32e73459f9cd0be9ea52e4404"
#define EVENT_NOT_YET_VALID "5e0d8a7c9b1f4d3e8c6a2f7b4e9d1a60"
#define EVENT_NOT_TRUSTED "c7f5c0a1b8de4f6c9a0b8f0e5d3a2c41"
