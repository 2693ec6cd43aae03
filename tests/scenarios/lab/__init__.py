"""The whole-program test lab: certificates, servers, clients and the program under test. Nothing here is a test."""
