# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
#
#   make demo                    real video through the ROS 2 nodes; writes demo/overlay.mp4
#   make demo VIDEO=my.mp4       the same on a file, a folder of images, a webcam (VIDEO=0) or a bag
#             PACE=camera        at the video's own rate, newest frame wins, instead of every frame
#             FRAMES=100         end after so many frames
#             MODEL=name         another model package
#             BOX=x1,y1,x2,y2 AT=seconds   follow the object in this box of this second, too
#   make test                    every test            make test ROS_DISTRO=jazzy
#   make lint                    ruff and mypy
#   make env                     only the environment  (.venv, build, install)
#   make clean                   remove all that the above made
#
# PYTHON=python3.12 picks the interpreter (3.10 to 3.13).  TORCH_INDEX_URL names the package index
# with the CPU builds of torch, which the tests use.

PYTHON ?= python3
VIDEO ?=
PACE ?=
FRAMES ?=
MODEL ?=
PYTEST_ARGS ?=
# A sourced ROS 2 of another release must not decide which wheels are installed here.
ifeq ($(filter kilted jazzy,$(ROS_DISTRO)),)
  ifeq ($(origin ROS_DISTRO),command line)
    $(error ROS_DISTRO=$(ROS_DISTRO) has no wheels: kilted or jazzy)
  endif
  override ROS_DISTRO := kilted
endif
export VOS_ROS_DISTRO := $(ROS_DISTRO)
export TORCH_INDEX_URL

RUN := scripts/ros-env
ENVIRONMENT := $(PYTHON) scripts/environment.py --distro $(ROS_DISTRO)

.PHONY: demo test lint env test-env clean
.DEFAULT_GOAL := demo

demo: env
	@$(RUN) python scripts/demo.py $(if $(VIDEO),--video '$(VIDEO)') \
	  $(if $(PACE),--pace '$(PACE)') $(if $(FRAMES),--frames '$(FRAMES)') \
	  $(if $(MODEL),--model '$(MODEL)') $(if $(BOX),--box '$(BOX)') $(if $(AT),--at '$(AT)')

test: test-env
	@VOS_ROS_REQUIRE_ROS=1 $(RUN) python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

lint: test-env
	@$(RUN) ruff check .
	@$(RUN) mypy vos_ros

env:
	@$(ENVIRONMENT)

test-env:
	@$(ENVIRONMENT) --extras test

clean:
	rm -rf .venv .venv-* build build-* install install-* log log-* .cache demo
