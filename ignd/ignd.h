/* The image and ignition daemon: its life from start to stop. */
#pragma once

struct daemon_class;

extern const struct daemon_class ignd_class;
