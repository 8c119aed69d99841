package model

import "eaft/compute"

// workspace keeps buffers by name, so that memory is that of the largest batch
// and calls do not allocate once it has been seen.
type workspace struct {
	dev     compute.Device
	buffers map[string]compute.Tensor
}

// get returns a buffer [rows, cols] with undefined content. Buffers of one name
// have one width and one dtype.
func (ws *workspace) get(name string, rows, cols int, dtype compute.DType) compute.Tensor {
	t, ok := ws.buffers[name]
	if !ok || t.Rows() < rows {
		if ws.buffers == nil {
			ws.buffers = map[string]compute.Tensor{}
		}
		t = ws.dev.NewTensor(rows, cols, dtype)
		ws.buffers[name] = t
	}
	return t.Slice(0, rows)
}
