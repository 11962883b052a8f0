// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0

#ifndef VOS_ROS_WIDE_H
#define VOS_ROS_WIDE_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// Wider registers where the processor has them.
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

#endif
