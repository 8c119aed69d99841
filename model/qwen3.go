package model

// qwen3Spec reads the config of a dense Qwen3: Llama's weight names plus
// self_attn.q_norm and self_attn.k_norm, whose scale [HeadDim] all heads share.
func qwen3Spec(c *config) Spec {
	s := c.decoder(32)
	s.HeadDim = c.int("head_dim", 128)
	s.QKNorm = true
	attention := c.bool("attention_bias", false)
	s.QKVBias, s.OBias = attention, attention
	c.qwenWindows(&s)
	return s
}
