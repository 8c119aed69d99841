package model

// llamaSpec reads the config of a Llama (1 to 3.x, SmolLM2 and others of model
// type "llama"). Weight names: model.layers.N.self_attn.{q,k,v,o}_proj,
// mlp.{gate,up,down}_proj, input_layernorm, post_attention_layernorm.
func llamaSpec(c *config) Spec {
	s := c.decoder(0)
	s.HeadDim = c.headDim(&s)
	attention := c.bool("attention_bias", false)
	s.QKVBias, s.OBias = attention, attention
	s.MLPBias = c.bool("mlp_bias", false)
	return s
}
