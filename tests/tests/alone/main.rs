//! Black-box tests that take away or change what all others stand on: one after the other, and nobody beside them.

mod bypassed;
mod door;
mod door_certificates;
mod door_faults;
mod faults_leader;
mod faults_servers;
mod faults_sor;
mod faults_store;
mod malformed;
mod operator;
mod queue;
mod release;
mod scanner;
