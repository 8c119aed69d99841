//go:build !amd64

package cpu

import "eaft/compute"

func peakLoopOf(*kernels[float32], compute.DType) peakLoop { return peakScalar }

func readLoopOf(*kernels[float32]) readLoop { return readGo }
