// Copyright 2026 vos_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The loop over the coefficients of windows of vos_ros/tracking/windows.py, which says what it is
// for.  It runs on every frame, with cold caches, where each call of numpy costs more than this.

#include <math.h>
#include <stddef.h>
#include <stdint.h>

// kernels: [n, length], whose last 4 * bands numbers are those of cos k pi y, sin k pi y, and the
// same of x, k = 1..bands; changed in place.  ways: [n, 2], down and right, by which they move.
void vos_ros_move_windows(
  float * kernels, int32_t n, int32_t length, int32_t bands, const float * ways)
{
  for (int i = 0; i < n; ++i) {
    for (int axis = 0; axis < 2; ++axis) {
      const float angle = 3.14159265f * ways[2 * i + axis];
      const float step_cosine = cosf(angle), step_sine = sinf(angle);
      float turn = step_cosine, lean = step_sine;
      float * const cosines = kernels + (size_t)i * length + length - (4 - 2 * axis) * bands;
      float * const sines = cosines + bands;
      for (int k = 0; k < bands; ++k) {
        const float cosine = cosines[k], sine = sines[k];
        const float next = turn * step_cosine - lean * step_sine;
        cosines[k] = cosine * turn - sine * lean;
        sines[k] = cosine * lean + sine * turn;
        lean = turn * step_sine + lean * step_cosine;
        turn = next;
      }
    }
  }
}
