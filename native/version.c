// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0

#include <stdint.h>

// Of what the functions of this library take and mean; vos_ros/runtime/native.py has the same.
// Raise both when either changes: a library that is older than the Python beside it would write
// where it must not.
int32_t vos_ros_native_version(void)
{
  return 3;
}
