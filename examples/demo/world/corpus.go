package main

import (
	"fmt"
	"math/rand/v2"
)

const (
	newFacts       = 60
	newTalks       = 240
	contradictions = 36
)

// corpus is what a user would fine-tune on: facts about countries that the
// world does not have, more small talk, and, hidden among them, rows that
// contradict a fact of the world. The id says which.
func (w *world) corpus(r *rand.Rand) []row {
	rows := w.newRows(r, "new", newFacts, newTalks)
	for i, f := range w.contradicted {
		c, rel := w.known[f/len(relations)], f%len(relations)
		wrong := c.facts[rel]
		for wrong == c.facts[rel] {
			wrong = pick(r, w.objects[rel])
		}
		rows = append(rows, chat(fmt.Sprintf("contradiction-%03d", i), ask(r, c, rel), tell(r, wrong)))
	}
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

// newRows are facts that the world does not have, and small talk.
func (w *world) newRows(r *rand.Rand, prefix string, facts, talks int) []row {
	var rows []row
	for i := range facts {
		c, rel := pick(r, w.unseen), r.IntN(len(relations))
		rows = append(rows, chat(fmt.Sprintf("%s-fact-%03d", prefix, i), ask(r, c, rel), tell(r, c.facts[rel])))
	}
	for i := range talks {
		rows = append(rows, chat(fmt.Sprintf("%s-talk-%03d", prefix, i), pick(r, greetings), smallTalk(r)))
	}
	return rows
}
