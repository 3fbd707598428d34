// Package sensor is the program that runs at a place of observation: it enrols
// with a hub, captures packets into batches, keeps them in a spool on disk, and
// delivers each until the hub has it in its database.
package sensor
